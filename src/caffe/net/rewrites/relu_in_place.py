"""A ReLU in place writes over values that were made for it alone and that no script holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from caffe.blob import Blob
from caffe.layer import Keep, Layer
from caffe.layers.activation.relu import ReLU
from caffe.layers.common.inner_product import InnerProduct
from caffe.layers.common.scale import Scale
from caffe.layers.normalization.batch_norm import BatchNorm
from caffe.layers.utility.eltwise import Eltwise
from caffe.layers.vision.convolution import Convolution
from caffe.net.run.mode import Mode
from caffe.net.run.op import Op
from caffe.net.run.plan import Part
from caffe.net.step import Step
from caffe.net.wiring import Wiring


class OverwritingReLU(ReLU):
    """A ReLU that keeps its top for backward, where it has overwritten its bottom."""

    def __init__(self, relu: ReLU) -> None:
        super().__init__(relu.param)
        self.needs, self.bottom_count = relu.needs, relu.bottom_count
        self.plain = relu.plain

    def forward_keeping(self, bottom: Sequence[Blob], top: Sequence[Blob], keep: Keep) -> Any:
        memory = bottom[0].data_memory
        if memory.exposed or memory.lent:
            return super().forward_keeping(bottom, top, keep)
        y = torch.relu_(bottom[0].tensor)
        return None if keep is Keep.NOTHING else y

    def backward_from(
        self, kept: Any, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        if not isinstance(kept, torch.Tensor):
            super().backward_from(kept, top, propagate_down, bottom)
        elif propagate_down[0]:
            memory = top[0].diff_memory
            diff = top[0].diff_tensor.to(kept.dtype)
            apart = memory.exposed or memory.lent or diff.stride() != kept.stride()
            masked = torch.empty_like(kept) if apart else diff
            torch.ops.aten.threshold_backward.grad_input(diff, kept, 0, grad_input=masked)
            bottom[0].bind_diff(masked)


class ReLUInPlace:
    """See the module."""

    name = "relu in place"

    def applies(self, mode: Mode) -> bool:
        return not mode.compiled

    def __call__(self, parts: list[Part], wiring: Wiring, mode: Mode) -> list[Part]:
        key = self.name
        if key not in wiring.made:
            wiring.made[key] = _overwriting(wiring.steps)
        layers: dict[Layer, Layer] = wiring.made[key]
        return [
            replace(part, layer=layers[part.layer], rewrites=(*part.rewrites, self.name))
            if isinstance(part, Op) and part.layer in layers
            else part
            for part in parts
        ]


def _overwriting(steps: Sequence[Step]) -> dict[Layer, Layer]:
    """For ReLUs behind layers whose backward has no use for their tops: those that overwrite."""
    overwriting: dict[Layer, Layer] = {}
    makes_new: dict[Blob, bool] = {}
    for step in steps:
        layer = step.layer
        if type(layer) is ReLU and step.bottom[0] is step.top[0] and makes_new.get(step.top[0]):
            if layer.plain:
                overwriting[layer] = OverwritingReLU(layer)
            continue
        new = isinstance(layer, (Convolution, InnerProduct, BatchNorm, Scale)) and not _activates(layer)
        new = new or (type(layer) is Eltwise and layer.sums and len(step.bottom) > 1)
        makes_new.update((blob, new) for blob in step.top)
    return overwriting


def _activates(layer: Layer) -> bool:
    """Whether the layer puts a ReLU of its own behind (Intel), whose backward needs what it gave."""
    return layer.param.convolution_param.relu or layer.param.batch_norm_param.relu
