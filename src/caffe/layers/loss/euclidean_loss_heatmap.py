"""EuclideanLossHeatmap."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class _Loss(torch.autograd.Function):
    """The mean squared distance, with the sum's gradient."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        difference = a - b
        ctx.save_for_backward(difference)
        return difference.square().mean()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (difference,) = ctx.saved_tensors
        return grads[0] * difference, None


class EuclideanLossHeatmap(LossLayer):
    """The mean squared distance of heatmaps: L = Σ (a - b)² / (N·C·H·W), whose gradient is a - b.

    The gradient is that of Σ (a - b)² / 2, as in the original: learning rates of its nets are made for it.

    bottom: a (N × C × H × W); b of a's shape, without a gradient; optionally pictures to show, which do nothing
    here. top: L (scalar).
    Differs from Caffe: nothing is shown (``visualise``); the gradient is multiplied by the loss weight; where
    H ≠ W the original reads beyond rows.
    Source: tpfister/caffe-heatmap ``EuclideanLossHeatmap``; Pfister et al. 2015.
    """

    num_bottoms = (2, 3)
    zero_gradient = (2,)
    origin = "caffe-heatmap (tpfister/caffe-heatmap)"

    def check(self, a: Shape, b: Shape, shown: Shape | None = None) -> None:
        if a != b:
            raise self.shape_error(f"bottoms 0 and 1 must have one shape; got {list(a)} and {list(b)}")

    def compute(self, a: torch.Tensor, b: torch.Tensor, shown: torch.Tensor | None = None) -> torch.Tensor:
        if a.is_meta:
            return a.new_empty(())
        loss: torch.Tensor = _Loss.apply(a, b)  # type: ignore[no-untyped-call]
        return loss
