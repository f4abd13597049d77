"""Op: what a plan is made of; one layer, or one that stands for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from caffe.blob import Blob
from caffe.layer import Keep, Layer
from caffe.layers.utility.split import Split
from caffe.net.step import Step
from caffe.tensor_layer import Kept, TensorLayer

Values = dict[Blob, torch.Tensor]
State = tuple[tuple[torch.Tensor, ...], list[torch.Tensor]]
"""What a layer carried, and its statistics."""


@dataclass(frozen=True, eq=False)
class Op:
    """Steps that run as one."""

    layer: Layer
    """What runs: the step's own layer, or one that stands for those of all the steps."""
    steps: tuple[Step, ...]
    places: tuple[int, ...]
    """Of the steps, one behind the other."""
    keep: Keep = Keep.NOTHING
    """What forward keeps for backward."""
    forgets: bool = False
    """Whether nothing is left that backward could come from."""
    frees: tuple[tuple[str, Blob], ...] = ()
    """Blobs that no later op reads, with their names."""
    rewrites: tuple[str, ...] = ()
    """Names of the rewrites that made it what it is."""

    bottom: Sequence[Blob] = field(init=False)
    top: Sequence[Blob] = field(init=False)
    losing: tuple[Step, ...] = field(init=False)
    """The steps that add to the loss."""
    fresh: tuple[Blob, ...] = field(init=False)
    """Tops that the layer writes into, so that they must be there."""
    needs_backward: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bottom", self.steps[0].bottom)
        object.__setattr__(self, "top", self.steps[-1].top)
        object.__setattr__(self, "needs_backward", self.steps[0].needs_backward)
        object.__setattr__(self, "losing", tuple(step for step in self.steps if step.has_loss))
        fresh = () if isinstance(self.layer, TensorLayer) else tuple(self.top)
        object.__setattr__(self, "fresh", fresh)

    @property
    def names(self) -> str:
        """Of its layers."""
        return " + ".join(step.name for step in self.steps)

    @property
    def stateful(self) -> bool:
        """Whether a forward changes something that the next one begins with."""
        return isinstance(self.layer, TensorLayer) and self.layer.changes_state

    @property
    def draws(self) -> bool:
        """Whether a forward draws random numbers, as far as the layer says."""
        return isinstance(self.layer, TensorLayer) and self.layer.draws

    @property
    def repeatable(self) -> bool:
        """Whether a second forward gives the same: a function, or what a script has filled."""
        return bool(self.bottom) or self.layer.type == "Input"

    def state(self) -> State:
        """The state that the next forward begins with, as it is now."""
        layer = self.layer
        if not isinstance(layer, TensorLayer):
            raise TypeError(f"{layer} has no state")
        return layer.carried, [blob.tensor.clone() for blob in layer.statistics]

    def again(self, values: Values, states: Mapping[Layer, State], keep: bool) -> Kept | None:
        """Run a forward that was once more, from ``values`` and into them; nothing of the net changes.

        Layers over blobs run on others than the net's. Returns what backward needs, with ``keep``.
        """
        layer = self.layer
        if isinstance(layer, TensorLayer):
            carried, statistics = states.get(layer, (layer.carried, None))
            tops, kept = layer.forward_again(
                [values[blob] for blob in self.bottom],
                Keep.GRAPH if keep and layer.needs.backward else Keep.NOTHING,
                carried,
                statistics,
            )
            values.update(zip(self.top, tops))
            return kept
        if isinstance(layer, Split):
            values.update((blob, values[self.bottom[0]]) for blob in self.top)
        elif self.bottom and self.top:
            others = {blob: Blob(*blob.shape, name=blob.name) for blob in (*self.bottom, *self.top)}
            for blob in self.bottom:
                others[blob].bind(values[blob])
            bottom, top = ([others[blob] for blob in blobs] for blobs in (self.bottom, self.top))
            layer.reshape(bottom, top)
            layer.forward(bottom, top)
            values.update((blob, others[blob].tensor) for blob in self.top)
        return None


def plain(step: Step, place: int) -> Op:
    """A step that runs by itself."""
    layer = step.layer
    return Op(layer, (step,), (place,), layer.keeps if isinstance(layer, TensorLayer) else Keep.NOTHING)
