"""Layer: the contract between the net and everything that computes, over blobs.

The net calls ``setup`` once, ``reshape`` when bottoms change shape, then ``forward`` and ``backward``. Users'
Python layers implement these four as in pycaffe; built-in layers derive from
:class:`caffe.tensor_layer.TensorLayer`, which implements them by two pure methods on tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from caffe.blob import Blob, BlobVec, Shape
from caffe.errors import LayerError, ShapeError
from caffe.proto import caffe_pb2

Count = int | tuple[int, int | None]
"""A number, or (least, most), where most None means any."""


@dataclass
class Needs:
    """What the net found out about a layer's gradients; set before ``setup`` returns to the net."""

    backward: bool = True
    bottoms: list[bool] = field(default_factory=list)  # which bottoms want a gradient
    params: list[bool] = field(default_factory=list)  # which parameters want a gradient


class Keep(Enum):
    """What a forward keeps for its backward."""

    NOTHING = "nothing"
    INPUTS = "its inputs"
    """Backward computes forward again."""
    GRAPH = "its graph"


class Layer:
    """One step of a net: reads bottom blobs, writes top blobs, may own parameter blobs.

    Attributes: ``name``, ``type``, ``phase`` (``caffe.TRAIN`` or ``caffe.TEST``), ``param`` (the whole
    LayerParameter), ``blobs`` (the parameters), ``needs`` (which gradients are wanted), ``bottom_count`` and
    ``top_count``.
    """

    num_bottoms: ClassVar[Count] = (0, None)
    num_tops: ClassVar[Count] = (0, None)
    equal_counts: ClassVar[bool] = False
    """As many tops as bottoms."""
    is_loss: ClassVar[bool] = False
    """Whether top 0 has loss weight 1 where the prototxt has none."""
    auto_tops: ClassVar[bool] = False
    """Whether missing tops are made up (so that a loss needs no top in the prototxt)."""
    no_gradient: ClassVar[tuple[int, ...]] = ()
    """Bottoms that cannot have a gradient: labels and the like; ``force_backward`` leaves them out."""
    in_place: ClassVar[bool] = True
    """Whether a top may be the bottom of the same index."""
    source: ClassVar[bool] = False
    """Whether the layer brings its own data (has no bottoms)."""
    origin: ClassVar[str] = "BVLC"
    """The fork that a layer comes from, as :mod:`caffe.proto.forks` spells it; several with commas."""
    reads: ClassVar[Mapping[str, str]] = {}
    """What of LayerParameter the layer computes by: message → fields, as :mod:`caffe.proto.field_use` explains."""

    def __init__(self, param: caffe_pb2.LayerParameter) -> None:
        self.param = param
        self.name: str = param.name
        self.phase: int = param.phase
        self.blobs = BlobVec()
        self.others_bytes = 0
        """What the parameters of the net's layers before this one take."""
        self.needs = Needs()
        self.bottom_count = len(param.bottom)
        self.top_count = len(param.top)

    @classmethod
    def create(cls, param: caffe_pb2.LayerParameter) -> Layer:
        """The layer for its parameters; of another class where these name one."""
        return cls(param)

    @property
    def type(self) -> str:
        """The type as the prototxt names it."""
        return str(self.param.type)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check parameters, make ``blobs``. Called once."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops their shapes."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Compute ``top[i].data`` from ``bottom[i].data``."""

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """Compute ``bottom[i].diff`` where ``propagate_down[i]``, and add to the blobs' diffs."""

    def forward_keeping(self, bottom: Sequence[Blob], top: Sequence[Blob], keep: Keep) -> Any:
        """``forward``, as nets call it; returns what ``keep`` says, for :meth:`backward_from`."""
        self.forward(bottom, top)

    def backward_from(
        self, kept: Any, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """``backward``, as nets call it, of the forward that returned ``kept``."""
        self.backward(top, propagate_down, bottom)

    def adapt_weights(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """A file's parameters as this layer has them."""
        return arrays

    def close(self) -> None:
        """Give back threads, files and other resources."""

    def error(self, message: str, *, field: str | None = None, fix: str | None = None) -> LayerError:
        """An error of this layer, to be raised."""
        return LayerError(message, layer=self.name, type=self.type, field=field, fix=fix)

    def shape_error(self, message: str, *, field: str | None = None, fix: str | None = None) -> ShapeError:
        """An error of this layer's shapes, to be raised."""
        return ShapeError(message, layer=self.name, type=self.type, field=field, fix=fix)

    def axis(self, index: int, shape: Shape, field: str = "axis", end: bool = False) -> int:
        """``index`` counted from the front; negative ones count from the end.

        ``end`` also allows the place after the last axis. Raises ShapeError when it is out of range.
        """
        most = len(shape) if end else len(shape) - 1
        counted = index + len(shape) if index < 0 else index
        if not 0 <= counted <= most:
            raise self.shape_error(
                f"must be in [{-len(shape)}, {most}] for a bottom of shape {list(shape)}; got {index}",
                field=field,
            )
        return counted

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}'>"


class Resumable(ABC):
    """A layer that goes on after a resume from where it was: what brings data."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Where the layer is, as plain numbers, strings and lists: the next forward's batch is the next one."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state` was taken."""


def bounds(count: Count) -> tuple[int, int | None]:
    """(least, most) of a count."""
    return (count, count) if isinstance(count, int) else count


def describe(count: Count) -> str:
    """A count in words: ``exactly 2``, ``at least 1``, ``1 to 3``."""
    least, most = bounds(count)
    if most is None:
        return f"at least {least}"
    return f"exactly {least}" if least == most else f"{least} to {most}"


Blobs = Sequence[Blob]
