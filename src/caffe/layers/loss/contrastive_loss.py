"""ContrastiveLoss."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class _Contrastive(torch.autograd.Function):
    """The loss of items' differences; the gradient divides by d + 1e-4, as the original's does."""

    @staticmethod
    def forward(
        ctx: Any, diff: torch.Tensor, similar: torch.Tensor, margin: float, legacy: bool
    ) -> torch.Tensor:
        squared = diff.square().sum(1)
        if legacy:
            gap = margin - squared
            apart, factor = gap.clamp(min=0), -(gap > 0).to(diff.dtype)
        else:
            d = squared.sqrt()
            gap = (margin - d).clamp(min=0)
            apart, factor = gap.square(), -gap / (d + 1e-4)
        ctx.save_for_backward(diff, torch.where(similar, 1.0, factor))
        return torch.where(similar, squared, apart).sum() / (2 * diff.shape[0])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        diff, factor = ctx.saved_tensors
        return diff * (factor * (grads[0] / diff.shape[0])).unsqueeze(1), None, None, None


class ContrastiveLoss(LossLayer):
    """Brings similar pairs together and others apart: L = Σ (y·d² + (1 - y)·max(0, margin - d)²) / (2 N).

    d is the Euclidean distance of an item of a from that of b. With ``legacy_version`` the second term is
    max(0, margin - d²). The gradient of the second term is divided by d + 1e-4 in place of d.

    bottom: a (N × C); b (N × C); y (N), not 0 for similar pairs. top: L (scalar).
    Differs from Caffe: nothing known. Source: BVLC ``ContrastiveLoss``; Hadsell et al. 2006.
    """

    num_bottoms = 3
    no_gradient = (2,)
    reads = {"contrastive_loss_param": "*"}

    def check(self, a: Shape, b: Shape, y: Shape) -> None:
        self.check_items(a, b, y)
        for shape in (a, b):
            if len(shape) < 2 or shape[1] != a[1] or math.prod(shape[2:]) != 1:
                raise self.shape_error(
                    f"the first two bottoms must have one shape N × C (× 1 × 1); got {list(a)} and {list(b)}"
                )
        if math.prod(y[1:]) != 1:
            raise self.shape_error(f"the third bottom must have one value for each pair; got shape {list(y)}")

    def compute(self, a: torch.Tensor, b: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        p = self.param.contrastive_loss_param
        diff = a.flatten(1) - b.flatten(1)
        loss: torch.Tensor = _Contrastive.apply(  # type: ignore[no-untyped-call]
            diff, y.reshape(-1).trunc() != 0, p.margin, p.legacy_version
        )
        return loss
