"""YoloSeg."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class YoloSeg(LossLayer):
    """Squared error of masks' probabilities: L = Σ (s · (σ(x) - t))² / N, s being ``object_scale``.

    The gradient is s · (σ(x) - t) / N, which is that of a cross entropy.

    bottom: x (N × C × H × W); masks t, as many values; optionally weights of the classes, which are not used.
    top: L (scalar).
    Differs from Caffe: nothing known; as there, ``num_class``, ``class_scale``, ``use_logic_gradient`` and
    ``use_hardsigmoid`` do nothing. Source: eric612/MobileNet-YOLO ``YoloSeg``.
    """

    num_bottoms = (2, 3)
    no_gradient = (1, 2)
    origin = "MobileNet-YOLO (eric612/MobileNet-YOLO)"
    reads = {"yolo_seg_param": "*"}

    def check(self, x: Shape, masks: Shape, *weights: Shape) -> None:
        self.check_items(x, masks)
        if math.prod(x) != math.prod(masks):
            raise self.shape_error(
                f"the first two bottoms must have as many values; got shapes {list(x)} and {list(masks)}"
            )

    def compute(self, x: torch.Tensor, masks: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        scale = self.param.yolo_seg_param.object_scale
        loss: torch.Tensor = _Squares.apply(x, masks.reshape(x.shape), scale)  # type: ignore[no-untyped-call]
        return loss


class _Squares(torch.autograd.Function):
    """The loss, with a gradient that leaves out the square's factor and the sigmoid's slope."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, masks: torch.Tensor, scale: float) -> torch.Tensor:
        diff = (x.sigmoid() - masks) * scale
        ctx.save_for_backward(diff)
        return diff.square().sum() / max(len(x), 1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (diff,) = ctx.saved_tensors
        return diff * (grads[0] / max(len(diff), 1)), None, None
