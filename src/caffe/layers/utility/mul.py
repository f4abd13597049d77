"""Mul."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Mul(TensorLayer):
    """Product of two bottoms, axes of size 1 (and missing leading ones) repeated: y = a · b.

    bottom: a; b, of shapes that agree from the last axis on. top: their common shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    num_bottoms = 2
    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def check(self, a: Shape, b: Shape) -> None:
        check_broadcast(self, a, b)

    def compute(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a * b


def check_broadcast(layer: TensorLayer, a: Shape, b: Shape) -> None:
    """Raise ShapeError unless the shapes agree from the last axis on, sizes of 1 aside."""
    if any(i != j and 1 not in (i, j) for i, j in zip(reversed(a), reversed(b))):
        raise layer.shape_error(
            f"the bottoms' sizes must be equal or 1, from the last axis on; got shapes {list(a)} and"
            f" {list(b)}"
        )
