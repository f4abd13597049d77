"""LpNormalization."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class LpNormalization(TensorLayer):
    """Divides by the norm along an axis: y = x / (Σ |x|^p)^(1/p), p 1 or 2.

    bottom: x. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"lp_normalization_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.lp_normalization_param
        self.axis(p.axis, shape)
        if p.p not in (1, 2):
            raise self.error(f"must be 1 or 2; got {p.p}", field="p")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.lp_normalization_param
        norm: torch.Tensor = torch.linalg.vector_norm(x, p.p, p.axis, keepdim=True)
        return x / norm
