"""Where a value is in the net: which blob, and how that blob's axes lie."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from caffe.importing.graph import Shape


@dataclass(frozen=True)
class Place:
    """A value in a blob.

    A permutation, a repetition and a padding are not carried out before a layer needs them: many never are,
    since the next operator undoes them or can take them into account.
    """

    blob: str
    held: Shape
    """The blob's own shape."""
    order: tuple[int, ...]
    """For each axis of the value, the blob's axis."""
    shape: Shape
    """The value's shape: ``held`` by ``order``, axes of 1 repeated, and padded."""
    pads: tuple[tuple[int, int], ...] = ()
    """For each axis of the value what is added before and behind, or () for nothing."""
    fill: float = 0.0
    """What the padding holds."""

    @classmethod
    def of(cls, blob: str, shape: Shape) -> Place:
        """A blob that holds a value as it is."""
        return cls(blob, tuple(shape), tuple(range(len(shape))), tuple(shape))

    @property
    def seen(self) -> Shape:
        """The blob's shape in the value's order of axes."""
        return tuple(self.held[i] for i in self.order)

    @property
    def is_plain(self) -> bool:
        """Whether the blob holds just the value."""
        return self.is_ordered and self.held == self.shape and not self.pads

    @property
    def is_ordered(self) -> bool:
        """Whether the blob's axes are the value's: only axes of 1 may have moved in between."""
        moved = [i for i in self.order if self.held[i] != 1]
        return moved == sorted(moved)

    def put(self, blob: str, **changes: Any) -> Place:
        """The same view of another blob."""
        return replace(self, blob=blob, **changes)

    def axis(self, axis: int) -> int:
        """The blob's axis for an axis of the value (negative: from behind)."""
        return self.order[axis]

    def reordered(self, order: tuple[int, ...]) -> Place:
        """The value with its axes in another order (``order[i]`` is the present place of axis i)."""
        pads = tuple(self.pads[i] for i in order) if self.pads else ()
        return replace(
            self,
            order=tuple(self.order[i] for i in order),
            shape=tuple(self.shape[i] for i in order),
            pads=pads,
        )


def copied_dims(held: tuple[int, ...], shape: tuple[int, ...]) -> list[int]:
    """A Reshape's dims that still hold for another batch: sizes that stay are copied, the first other one is
    what is left.
    """
    dims: list[int] = []
    for i, size in enumerate(shape):
        if i < len(held) and held[i] == size:
            dims.append(0)
        else:
            break
    rest = list(shape[len(dims) :])
    if rest and math.prod(rest) != 1:
        rest[0] = -1
    return dims + rest
