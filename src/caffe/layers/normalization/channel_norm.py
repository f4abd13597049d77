"""ChannelNorm."""

from __future__ import annotations

from typing import Any

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class _Norm(torch.autograd.Function):
    """The norm; its gradient divides by norm + 1e-9, as the original's does, so that 0 is no special case."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        norm = x.square().sum(1, keepdim=True).sqrt()
        ctx.save_for_backward(x, norm)
        return norm

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        x, norm = ctx.saved_tensors
        diff: torch.Tensor = grads[0] * x / (norm + 1e-9)
        return diff


class ChannelNorm(TensorLayer):
    """Length of the vector of channels at each position: y = √(Σ_c x_c²).

    bottom: x (N × C × H × W). top: y (N × 1 × H × W).
    Differs from Caffe: nothing known. Source: lmb-freiburg/flownet2.
    """

    origin = "FlowNet 2 (lmb-freiburg/flownet2)"
    in_place = False

    def check(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise self.shape_error(f"the bottom must have an axis of channels; got shape {list(shape)}")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        norms: torch.Tensor = _Norm.apply(x)  # type: ignore[no-untyped-call]
        return norms
