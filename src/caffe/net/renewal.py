"""What a forward pass computes anew is freed before it begins, so that old and new values are never both in memory.

The new values then take the place of the old ones, in caches too.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe.blob import Blob
from caffe.layers.activation.relu import ReLU
from caffe.net.wiring import Step
from caffe.tensor_layer import TensorLayer

_WHY = "the last forward pass stopped before it was computed"
_FIX = "Let a forward pass reach its layer"
_MAKE_NEW = (TensorLayer.forward, ReLU.forward)
"""Of layers with these, tops are new tensors each time; others may go on with what is there."""


class Renewal:
    """Frees blobs, and what layers kept for backward, ahead of running those layers again."""

    def __init__(self, steps: Sequence[Step], merged: Sequence[TensorLayer]) -> None:
        self._steps = steps
        self._merged = merged
        self._plans: dict[tuple[int, int], tuple[list[TensorLayer], list[Blob]]] = {}

    def before(self, start: int, stop: int) -> None:
        """Free what the layers from ``start`` to before ``stop`` made last time."""
        plan = self._plans.get((start, stop))
        if plan is None:
            plan = self._plans[start, stop] = self._plan(start, stop)
        for layer in plan[0]:
            layer.release()
        for blob in plan[1]:
            if blob.data_memory.allocated:
                blob.data_memory.free(_WHY, _FIX)

    def _plan(self, start: int, stop: int) -> tuple[list[TensorLayer], list[Blob]]:
        layers = list(self._merged) if (start, stop) == (0, len(self._steps)) else []
        blobs: dict[int, Blob] = {}
        read: set[int] = set()  # before it is written: from outside
        for step in self._steps[start:stop]:
            layer = step.layer
            read.update(id(b) for b in step.bottom if id(b) not in blobs)
            if not isinstance(layer, TensorLayer):
                continue
            layers.append(layer)
            if type(layer).forward in _MAKE_NEW:
                blobs.update((id(b), b) for b in step.top if id(b) not in read)
        return layers, list(blobs.values())
