"""Arccos."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class Arccos(TensorLayer):
    """Inverse cosine: y = arccos(x).

    bottom: x of any shape, from -1 to 1. top: y of x's shape.
    Differs from Caffe: nothing known. Source: happynear/caffe-windows.
    """

    origin = "caffe-windows (happynear/caffe-windows)"

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return torch.acos(x)
