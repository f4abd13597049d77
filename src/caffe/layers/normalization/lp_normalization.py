"""LpNormalization."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class LpNormalization(TensorLayer):
    """Divides by the norm along axes: y = x / (Σ |x|^p)^(1/p), p 1 or 2; without ``axis`` by that of each value.

    bottom: x. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"lp_normalization_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.lp_normalization_param
        for axis in p.axis:
            self.axis(axis, shape)
        if p.p not in (1, 2):
            raise self.error(f"must be 1 or 2; got {p.p}", field="p")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.lp_normalization_param
        if not p.axis:
            return x / x.abs()
        axes = sorted({self.axis(axis, tuple(x.shape)) for axis in p.axis})
        norm: torch.Tensor = torch.linalg.vector_norm(x, p.p, axes, keepdim=True)
        return x / norm
