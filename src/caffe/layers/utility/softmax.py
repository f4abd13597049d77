"""Softmax."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Softmax(TensorLayer):
    """Exponentials that sum to 1 along an axis: y_c = exp(x_c) / Σ_k exp(x_k).

    bottom: x (… × C at ``axis`` × …). top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``Softmax``.
    """

    full_precision = True
    reads = {"softmax_param": "*"}

    def check(self, shape: Shape) -> None:
        self.axis(self.param.softmax_param.axis, shape)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, self.param.softmax_param.axis)
