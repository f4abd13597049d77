"""MVN."""

from __future__ import annotations

from typing import Any

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class MVN(TensorLayer):
    """Mean-variance normalization of each channel of each image (of each image with ``across_channels``).

    y = (x − mean) / (σ + eps), with σ² the mean of (x − mean)²; y = x − mean without ``normalize_variance``.
    With ``add_eps_before_sqrt`` (Synopsys) the divisor is √(σ² + eps).

    bottom: x (N × C × …). top: y of x's shape.
    The gradient takes eps as part of σ: dx = (dy − mean(dy) − y · mean(y · dy)) / (σ + eps), as in the
    original.
    Differs from Caffe: more than 4 axes work. Source: BVLC ``MVN``.
    """

    reads = {"mvn_param": "* add_eps_before_sqrt"}

    def check(self, shape: Shape) -> None:
        if not shape:
            raise self.shape_error("the bottom must have at least 1 axis; got a scalar")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.mvn_param
        first = 1 if p.across_channels else 2
        flat = x if x.dim() > first else x[(..., *(None,) * (first + 1 - x.dim()))]
        axes = tuple(range(first, flat.dim()))
        if not p.normalize_variance:
            y = flat - flat.mean(axes, keepdim=True)
        else:
            y = normalize(flat, axes, p.eps, p.add_eps_before_sqrt)
        return y.reshape(x.shape)


def normalize(x: torch.Tensor, axes: tuple[int, ...], eps: float, before: bool = False) -> torch.Tensor:
    """(x − mean) / (σ + eps) over some axes, or / √(σ² + eps), with the original's gradient."""
    y: torch.Tensor = _Normalize.apply(x, axes, eps, before)  # type: ignore[no-untyped-call]
    return y


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, axes: tuple[int, ...], eps: float, before: bool = False
    ) -> torch.Tensor:
        centred = x - x.mean(axes, keepdim=True)
        variance = centred.square().mean(axes, keepdim=True)
        scale = variance.add_(eps).sqrt_() if before else variance.sqrt_().add_(eps)
        y = centred.div_(scale)
        ctx.save_for_backward(y, scale)
        ctx.axes = axes
        return y

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        y, scale = ctx.saved_tensors
        dx = dy - dy.mean(ctx.axes, keepdim=True)
        dx -= y * (y * dy).mean(ctx.axes, keepdim=True)
        return dx.div_(scale), None, None, None
