"""Work saved where blobs are overwritten in place: what is never seen need not be computed, nor kept.

A Scale that works in place behind a BatchNorm is run with it, as one normalization with learned scale and shift. A
ReLU in place writes over values that no other layer and no script holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch

from caffe.blob import Blob, BlobVec
from caffe.layer import Layer, Needs
from caffe.layers.activation.relu import ReLU
from caffe.layers.common.inner_product import InnerProduct
from caffe.layers.common.scale import Scale
from caffe.layers.normalization.batch_norm import BatchNorm
from caffe.layers.utility.eltwise import Eltwise
from caffe.layers.vision.convolution import Convolution
from caffe.net.wiring import Step
from caffe.tensor_layer import TensorLayer


class ScaledBatchNorm(TensorLayer):
    """A BatchNorm and the Scale behind it as one layer, over the parameters of both."""

    def __init__(self, norm: BatchNorm, scale: Scale) -> None:
        super().__init__(norm.param)
        self.norm, self.scale = norm, scale
        self.blobs = BlobVec([*norm.blobs, *scale.blobs])
        self.needs = Needs(norm.needs.backward, norm.needs.bottoms, [*norm.needs.params, *scale.needs.params])

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.norm.reshape(bottom, top)
        self.scale.reshape(top, top)
        self.keep_graph = self.norm.keep_graph
        self._shapes = tuple(b.shape for b in bottom)

    def compute(self, *tensors: Any) -> torch.Tensor:
        return self.norm.compute(*tensors)

    def split(self, bottom: Sequence[Blob]) -> None:
        """Leave both layers as if each had run its own forward; one that has since keeps what it has."""
        if self.norm.ready_for_backward and self.scale.ready_for_backward:
            return
        leaves, _ = self._graph(bottom)
        device = leaves[0].device
        params = [[b.data_memory.on(device) for b in layer.blobs] for layer in (self.norm, self.scale)]
        before = [p.clone() for p in params[0]]
        norm = self.norm._differentiable([leaves[0].detach()], params[0])
        for tensor, values in zip(params[0], before):  # statistics have counted this batch already
            tensor.copy_(values)
        if not self.scale.ready_for_backward:
            self.scale._kept = self.scale._differentiable([norm[1][0].detach()], params[1])
        if not self.norm.ready_for_backward:
            self.norm._kept = norm


class _Passed(Layer):
    """Stands for the Scale, which has been run already; its diff is the blob's own."""


class Merging:
    """The pairs of a net, and whether they run merged now."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.on = False
        self._pairs: list[tuple[Step, Step, ScaledBatchNorm, Layer]] = []
        for first, second in pairwise(steps):
            norm, scale = first.layer, second.layer
            if type(norm) is not BatchNorm or type(scale) is not Scale:
                continue
            if norm.plain and _follows(first, second) and scale.per_channel:
                self._pairs.append((first, second, ScaledBatchNorm(norm, scale), _Passed(scale.param)))
        _overwrite(steps)

    def layers(self) -> Iterator[TensorLayer]:
        """The merged layers."""
        return (merged for _, _, merged, _ in self._pairs)

    def set(self, on: bool) -> None:
        """Run pairs merged, or one by one."""
        if on != self.on:
            self.on = on
            for first, second, merged, passed in self._pairs:
                first.runs, second.runs = (merged, passed) if on else (first.layer, second.layer)
                if on:
                    merged.norm.release()
                    merged.scale.release()

    def split(self) -> None:
        """Let backward run layer by layer, after a merged forward too."""
        self.set(False)
        for first, _, merged, _ in self._pairs:
            if first.needs_backward and merged.ready_for_backward:
                merged.split(first.bottom)
                merged.release()


def _follows(first: Step, second: Step) -> bool:
    """Whether the second needs nothing but what the first gives, and works in place on it."""
    return (
        len(second.bottom) == 1
        and second.bottom[0] is first.top[0]
        and second.top[0] is first.top[0]
        and first.needs_backward == second.needs_backward
        and not first.has_loss
    )


def _overwrite(steps: Sequence[Step]) -> None:
    """Let ReLUs in place overwrite what was made for them: tensors of layers whose backward has no use for them."""
    makes_new: dict[int, bool] = {}
    for step in steps:
        layer = step.layer
        if type(layer) is ReLU and step.bottom[0] is step.top[0] and makes_new.get(id(step.top[0])):
            layer.overwrites = True
            continue
        new = isinstance(layer, (Convolution, InnerProduct, BatchNorm, Scale)) and not _activates(layer)
        new = new or (type(layer) is Eltwise and layer.sums and len(step.bottom) > 1)
        makes_new.update((id(blob), new) for blob in step.top)


def _activates(layer: Layer) -> bool:
    """Whether the layer puts a ReLU of its own behind (Intel), whose backward needs what it gave."""
    return layer.param.convolution_param.relu or layer.param.batch_norm_param.relu
