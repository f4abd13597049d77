"""EuclideanLossHeatmap."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class EuclideanLossHeatmap(LossLayer):
    """Mean squared distance of maps of key points: L = Σ (a - b)² / (N·C·H·W).

    The gradient of a is a - b: neither divided nor weighted by ``loss_weight``, as in the original, whose learning
    rates are chosen for it.

    bottom: a, b (N × C × H × W each); optionally the image, which the original shows with ``visualise``. top: L
    (scalar).
    Differs from Caffe: nothing is shown; b has no gradient; maps that are not square count as they are.
    Source: tpfister/caffe-heatmap ``EuclideanLossHeatmap``; Pfister et al. 2015.
    """

    num_bottoms = (2, 3)
    no_gradient = (1, 2)
    origin = "tpfister/caffe-heatmap"

    def check(self, a: Shape, b: Shape, image: Shape | None = None) -> None:
        if len(a) != 4 or a != b:
            raise self.shape_error(
                f"bottoms 0 and 1 must have one shape N×C×H×W; got {list(a)} and {list(b)}"
            )

    def compute(self, a: torch.Tensor, b: torch.Tensor, image: torch.Tensor | None = None) -> torch.Tensor:
        loss: torch.Tensor = _MeanSquare.apply(a, b)  # type: ignore[no-untyped-call]
        return loss


class _MeanSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(a, b)
        return (a - b).square().sum() / max(a.numel(), 1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        a, b = ctx.saved_tensors
        return a - b, None
