"""Sigmoid."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class Sigmoid(TensorLayer):
    """Logistic function: y = 1 / (1 + exp(-x)).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``Sigmoid``.
    """

    keeps_shape = True

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x)
