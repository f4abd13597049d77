"""Add."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.utility.mul import check_broadcast
from caffe.tensor_layer import TensorLayer


class Add(TensorLayer):
    """Sum of two bottoms, axes of size 1 (and missing leading ones) repeated: y = a + b.

    bottom: a; b, of shapes that agree from the last axis on. top: their common shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there); Cambricon/caffe.
    """

    num_bottoms = 2
    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def check(self, a: Shape, b: Shape) -> None:
        check_broadcast(self, a, b)

    def compute(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b
