"""How much memory a net takes at the least, found out while it is wired: before anything is allocated."""

from __future__ import annotations

from collections.abc import Sequence

from caffe import limits, runtime
from caffe.blob import Blob
from caffe.layer import Layer

_VALUE = 4  # bytes of a float32


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
        blobs = {id(b): b for b in (*bottom, *top)}.values()
        own = _VALUE * sum(b.count for b in blobs)
        if runtime.device().type != "cpu" and limits.asked_memory() is None:
            return  # the device's memory counts, and it says itself when it is full
        limits.check_memory(
            own + self.parameters,
            f"bottoms and tops {', '.join(_described(b) for b in blobs)} take {limits.readable(own)}; with the"
            f" parameters so far, {limits.readable(self.parameters)}, the net",
            "Make the batch or the images smaller, or set CAFFE_MAX_MEMORY",
        )


def _described(blob: Blob) -> str:
    return f"'{blob.name[:100]}' {'×'.join(map(str, blob.shape))}"
