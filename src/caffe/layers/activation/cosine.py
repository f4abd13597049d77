"""Cosine."""

from __future__ import annotations

from typing import Any

import torch

from caffe.tensor_layer import TensorLayer


class _Cosine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.cos(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return -torch.sin(x)


class Cosine(TensorLayer):
    """Cosine: y = cos(x). The gradient is -sin(x) whatever the top's diff, as the original has it.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: happynear/caffe-windows.
    """

    origin = "caffe-windows (happynear/caffe-windows)"

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = _Cosine.apply(x)  # type: ignore[no-untyped-call]
        return y
