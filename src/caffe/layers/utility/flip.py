"""Flip."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Flip(TensorLayer):
    """Mirrors images left to right (``flip_width``, default) or top to bottom (``flip_height``), or both.

    bottom: x (N × C × H × W). top: y of x's shape.
    Differs from Caffe: nothing known. Source: happynear/caffe-windows.
    """

    origin = "caffe-windows (happynear/caffe-windows)"
    reads = {"flip_param": "*"}

    def check(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must be N×C×H×W; got shape {list(shape)}")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.flip_param
        return x.flip([axis for axis, wanted in ((2, p.flip_height), (3, p.flip_width)) if wanted])
