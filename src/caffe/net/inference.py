"""Inference: nothing kept for backward, and every blob freed once no later layer reads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from caffe.blob import Blob

if TYPE_CHECKING:
    from caffe.net.net import Net
    from caffe.net.wiring import Step

_FIX = "Name it: net.forward(blobs=['{0}']) or net.set_inference(keep=['{0}']); or net.set_inference(False)"


class Inference:
    """Which blobs are freed after which layer. Outputs, inputs, losses and ``keep`` stay."""

    def __init__(self, net: Net, keep: Iterable[str] = (), recompute: bool = False) -> None:
        repeatable = all(step.layer.type == "Input" for step in net.steps if not step.bottom)
        self.restore = net.run_again if recompute and repeatable else None
        """Computes freed blobs again, where that is wanted and possible."""
        kept = {*net.inputs, *net.outputs, *keep}
        self._keep = {id(net.blobs[name]) for name in kept}
        self._last: list[list[tuple[str, Blob]]] = [[] for _ in net.steps]
        self.also: frozenset[str] = frozenset()
        """Names of blobs that stay in the present forward, too."""
        last: dict[int, tuple[int, str, Blob]] = {}
        for i, step in enumerate(net.steps):
            for name, blob in _blobs(step):
                last[id(blob)] = (i, name, blob)
            self._keep.update(id(b) for b, weight in zip(step.top, step.loss_weights) if weight)
        for key, (i, name, blob) in last.items():
            if key not in self._keep:
                self._last[i].append((name, blob))

    @staticmethod
    def before(step: Step) -> None:
        """Let a layer write into tops that were freed."""
        for blob in step.top:
            blob.data_memory.renew()

    def after(self, index: int, layer: str) -> None:
        """Free the blobs that no layer after this one reads."""
        for name, blob in self._last[index]:
            if name not in self.also and not blob.data_memory.freed:
                blob.data_memory.free(
                    f"its values were freed after layer '{layer}', the last to need them (inference mode)",
                    fix=_FIX.format(name),
                    restore=self.restore,
                )


def _blobs(step: Step) -> list[tuple[str, Blob]]:
    return [*zip(step.bottom_names, step.bottom), *zip(step.top_names, step.top)]
