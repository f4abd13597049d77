"""Gram."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Gram(TensorLayer):
    """Correlations of channels over positions: y[i, j] = Σ x[i]·x[j] / (C·H·W), the statistics of a style.

    bottom: x (N × C × H × W). top: y (N × C × C × 1).
    Differs from Caffe: nothing known. Source: happynear/caffe-windows; Gatys et al. 2015.
    """

    origin = "caffe-windows (happynear/caffe-windows)"
    in_place = False

    def check(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must be N×C×H×W; got shape {list(shape)}")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(2)
        return (rows @ rows.transpose(1, 2) / (rows.shape[1] * rows.shape[2])).unsqueeze(3)
