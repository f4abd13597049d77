"""How much memory a net takes at the least, found out before anything is allocated.

While it is wired, what any mode needs; before its first forward, and before training, all that these keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from caffe import limits, runtime
from caffe.blob import Blob
from caffe.errors import CaffeError, NetError
from caffe.layer import Layer
from caffe.net.step import Step

_VALUE = 4  # bytes of a float32
_VIEWS = frozenset(
    ("Split", "Reshape", "Flatten", "Slice", "Crop", "Permute", "ShuffleChannel", "ExpandDims", "Squeeze")
    + ("Dropout", "Silence", "ReLU", "Scale")
)
"""Layers whose tops may be their bottoms' bytes: not counted, so that nothing is refused that would fit."""


class Footprint:
    """Grows with each layer. What counts is what any mode needs: all parameters, and one layer's blobs."""

    def __init__(self) -> None:
        self.parameters = 0
        """Bytes of all layers' parameters so far."""
        self._seen: set[int] = set()

    def add(self, layer: Layer, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Count a layer. Raises LimitError where memory cannot hold it."""
        for blob in layer.blobs:
            if id(blob.data_memory) not in self._seen:
                self._seen.add(id(blob.data_memory))
                self.parameters += _VALUE * blob.count
        made = () if layer.type in _VIEWS else top
        blobs = {id(b): b for b in (*bottom, *made)}.values()
        own = _VALUE * sum(b.count for b in blobs)
        if own + self.parameters <= limits.memory() or _others_memory():
            return
        limits.check_memory(
            own + self.parameters,
            f"bottoms and tops {', '.join(_described(b) for b in blobs)} take {limits.readable(own)}; with the"
            f" parameters so far, {limits.readable(self.parameters)}, the net",
            "Make the batch or the images smaller, or set CAFFE_MAX_MEMORY",
        )


@dataclass
class Needs:
    """Bytes that nets keep, together, and how much of it each layer takes."""

    blobs: int = 0
    parameters: int = 0
    layers: dict[str, int] = field(default_factory=dict)
    largest: dict[str, str] = field(default_factory=dict)
    """Each layer's largest blob, described."""
    _seen: set[int] = field(default_factory=set)

    def add(self, steps: Sequence[Step], copies: int = 1) -> None:
        """Count a net's blobs, and its parameters ``copies`` times: once, or with gradients and history."""
        for step in steps:
            tops = [] if step.layer.type in _VIEWS else step.top
            own = self._new(tops), self._new(step.layer.blobs) * copies
            self.blobs += own[0]
            self.parameters += own[1]
            self.layers[step.name] = self.layers.get(step.name, 0) + sum(own)
            most = max((*tops, *step.layer.blobs), key=lambda blob: blob.count, default=None)
            if most is not None:
                self.largest.setdefault(step.name, "×".join(map(str, most.shape)))

    def _new(self, blobs: Iterable[Blob]) -> int:
        new = {id(b.data_memory): b for b in blobs if id(b.data_memory) not in self._seen}
        self._seen.update(new)
        return _VALUE * sum(b.count for b in new.values())

    def check(self, kind: type[CaffeError], what: str, fix: str, file: str | None) -> None:
        """Raise ``kind``, naming the layer that takes most, where memory cannot hold it all."""
        if _others_memory() or not self.layers:
            return
        try:
            limits.check_memory(self.blobs + self.parameters, what)
        except limits.LimitError as error:
            name = max(self.layers, key=lambda name: self.layers[name])
            raise kind(
                str(error),
                file=file,
                layer=name,
                fix=f"This layer takes most, {limits.readable(self.layers[name])}"
                f" ({self.largest.get(name, '')}): {fix}",
            ) from None


def check_forward(steps: Sequence[Step], file: str | None) -> None:
    """Raise NetError where memory cannot hold all blobs and parameters of a net that keeps them."""
    needs = Needs()
    needs.add(steps)
    needs.check(
        NetError,
        f"a forward of the net, {limits.readable(needs.blobs)} of blobs and {limits.readable(needs.parameters)} of"
        " parameters,",
        "make the batch or the images smaller, let blobs be freed with net.set_inference(), or set CAFFE_MAX_MEMORY",
        file,
    )


def _others_memory() -> bool:
    """Whether the memory of a device counts, which says itself when it is full."""
    return runtime.device().type != "cpu" and limits.asked_memory() is None


def _described(blob: Blob) -> str:
    return f"'{blob.name[:100]}' {'×'.join(map(str, blob.shape))}"
