"""Axpy."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Axpy(TensorLayer):
    """Scale each channel and add: y = a · x + z.

    bottom: a (N × C, or N × C × 1 × 1), x (N × C × H × W), z of x's shape. top: y of x's shape.
    Differs from Caffe: x has a gradient even where a needs none. Source: hujie-frank/SENet ``Axpy``; Hu et
    al. 2018.
    """

    origin = "SENet (hujie-frank/SENet)"
    num_bottoms = 3
    in_place = False

    def check(self, a: Shape, x: Shape, z: Shape) -> None:
        if len(x) < 2 or tuple(a[:2]) != tuple(x[:2]) or any(d != 1 for d in a[2:]):
            raise self.shape_error(
                f"bottom 0 must have shape N×C or N×C×1×1 of bottom 1 {list(x)}; got {list(a)}"
            )
        if x != z:
            raise self.shape_error(f"bottoms 1 and 2 must have one shape; got {list(x)} and {list(z)}")

    def compute(self, a: torch.Tensor, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(z, a.reshape(*x.shape[:2], *[1] * (x.dim() - 2)), x)
