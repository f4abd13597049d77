"""Work saved where blobs are overwritten in place: what is never seen need not be computed, nor kept.

A Scale that works in place behind a BatchNorm is run with it, as one normalization with learned scale and shift; in
inference both go into the kernels of the convolution whose top they overwrite, and a ReLU in place behind it runs with
it. Elsewhere a ReLU in place writes over values that no other layer and no script holds.
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
from caffe.net.folding import fold, goes_into, takes_more
from caffe.net.wiring import Step
from caffe.tensor_layer import Stateful, TensorLayer


class ScaledBatchNorm(TensorLayer):
    """A BatchNorm and the Scale behind it as one layer, over the parameters of both."""

    def __init__(self, norm: BatchNorm, scale: Scale) -> None:
        super().__init__(norm.param)
        self.norm, self.scale = norm, scale
        self.blobs = BlobVec([*norm.blobs, *scale.blobs])
        self.needs = Needs(norm.needs.backward, norm.needs.bottoms, [*norm.needs.params, *scale.needs.params])
        self.specs = [*norm.specs, *scale.specs]

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.norm.reshape(bottom, top)
        self.scale.reshape(top, top)
        self._shapes = tuple(b.shape for b in bottom)

    def compute(self, *tensors: Any) -> torch.Tensor | Stateful:
        return self.norm.compute(*tensors)

    def split(self, bottom: Sequence[Blob]) -> None:
        """Leave both layers as if each had run its own forward; one that has since keeps what it has."""
        if self.norm.ready_for_backward and self.scale.ready_for_backward:
            return
        leaves, _ = self._graph(bottom)
        device = leaves[0].device
        params = [[b.data_memory.on(device) for b in layer.blobs] for layer in (self.norm, self.scale)]
        norm = self.norm._differentiable([leaves[0].detach()], params[0])[:2]
        if not self.scale.ready_for_backward:
            self.scale._kept = self.scale._differentiable([norm[1][0].detach()], params[1])[:2]
        if not self.norm.ready_for_backward:
            self.norm._kept = norm


class FoldedConvolution(TensorLayer):
    """A convolution with the BatchNorm, Scale and ReLU that work in place on its top, for inference."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers[0].param)
        if not isinstance(layers[0], Convolution):
            raise TypeError(f"{layers[0]} is no convolution")
        self._convolution = layers[0]
        self._layers = layers
        self._relu = type(layers[-1]) is ReLU
        self._linear = layers[:-1] if self._relu else layers
        self.blobs = BlobVec([blob for layer in layers for blob in layer.blobs])
        self._folded: tuple[object, list[torch.Tensor]] | None = None

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for layer in self._layers:
            layer.reshape(bottom if layer is self._layers[0] else top, top)
        self._shapes = tuple(b.shape for b in bottom)

    def _parameters(self, device: torch.device, graph: bool) -> list[torch.Tensor]:
        """Kernels and bias, made once for as long as all the parameters, and the bottom's shape, stay the same."""
        memories = [blob.data_memory for blob in self.blobs]
        key = device, self._shapes, memories, [memory.changes for memory in memories]
        if self._folded is None or self._folded[0] != key or any(memory.watched for memory in memories):
            own = [[blob.data_memory.on(device) for blob in layer.blobs] for layer in self._linear]
            kernels, *bias = fold(self._linear, own)
            self._folded = key, [self._packed(kernels), *bias]
        return self._folded[1]

    def _packed(self, kernels: torch.Tensor) -> torch.Tensor:
        """Kernels in the order that the operation wants."""
        if kernels.dim() == 4 and kernels.device.type != "mps":
            kernels = kernels.contiguous(memory_format=torch.channels_last)
        if not self._by_onednn(kernels):
            return kernels
        found: torch.Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            kernels, *self._window(), self._shapes[0] if self._shapes else None
        )
        return found

    def _by_onednn(self, x: torch.Tensor) -> bool:
        cpu = x.device.type == "cpu" and x.dtype == torch.float32
        return cpu and self._convolution.plain and torch.backends.mkldnn.is_available()

    def _window(self) -> tuple[Sequence[int], Sequence[int], Sequence[int], int]:
        """Pad, stride, dilation, groups."""
        window = self._convolution.window
        channels = self._shapes[0][1] if self._shapes else 0
        return window.pad, window.stride, window.dilation, self._convolution.groups(channels)

    def forget(self) -> None:
        """Let go of the kernels."""
        self._folded = None

    def compute(
        self, x: torch.Tensor, kernels: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        if self._by_onednn(x):
            x = x.contiguous(memory_format=torch.channels_last)
            y: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, kernels, bias, *self._window(), "relu" if self._relu else "none", [], ""
            )
            return y
        (y,) = self._convolution.compute(x, kernels, *([] if bias is None else [bias]))
        return torch.relu_(y) if self._relu else y


class _Passed(Layer):
    """Stands for a layer that has been run already; its diff is the blob's own."""


class Merging:
    """The pairs of a net, and whether they run merged now."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.on = False
        self._folding = False
        self._folds = [(found, FoldedConvolution([s.layer for s in found])) for found in _foldable(steps)]
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
        yield from (merged for _, _, merged, _ in self._pairs)
        yield from (folded for _, folded in self._folds)

    def set(self, on: bool, folding: bool = False) -> None:
        """Run pairs merged, or one by one; ``folding`` runs them in their convolutions."""
        if (on, on and folding) == (self.on, self._folding):
            return
        self.on, self._folding = on, on and folding
        for steps, _ in self._folds:
            for step in steps:
                step.runs = step.layer
        if not self._folding:
            for _, folded in self._folds:
                folded.forget()
        for first, second, merged, passed in self._pairs:
            first.runs, second.runs = (merged, passed) if on else (first.layer, second.layer)
            if on:
                merged.norm.release()
                merged.scale.release()
        if self._folding:
            for (convolution, *behind), folded in self._folds:
                convolution.runs = folded
                for step in behind:
                    step.runs = _Passed(step.layer.param)

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


def _foldable(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Convolutions, with what works in place on their tops and can be in their kernels or runs with them."""
    for i, step in enumerate(steps):
        if not takes_more(step):
            continue
        found = [step]
        for then in steps[i + 1 : i + 4]:
            relu = type(then.layer) is ReLU and then.layer.plain
            in_place = then.bottom == then.top == step.top and not found[-1].has_loss
            if not in_place or not (relu or goes_into(then.layer, len(found) - 1)):
                break
            found.append(then)
            if relu:
                break
        yield found


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
