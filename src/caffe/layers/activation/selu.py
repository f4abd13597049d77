"""SeLU."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class SeLU(TensorLayer):
    """Scaled exponential linear unit: y = lambda · x for x > 0, else lambda · alpha · (exp(x) - 1).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe; Klambauer et al. 2017.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"selu_param": "*"}

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.selu_param
        scale = getattr(p, "lambda")
        return torch.where(x > 0, scale * x, scale * p.alpha * torch.expm1(x.clamp(max=0)))
