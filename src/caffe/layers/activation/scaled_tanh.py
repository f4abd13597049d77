"""ScaledTanH."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class ScaledTanH(TensorLayer):
    """Scaled hyperbolic tangent: y = alpha · tanh(beta · x). Both fields must be given.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there); LeCun et al. 1998.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"scaled_tanh_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.scaled_tanh_param
        for field in ("alpha", "beta"):
            if not p.HasField(field):
                raise self.error(
                    "must be given", field=field, fix="Write scaled_tanh_param { alpha: … beta: … }"
                )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.scaled_tanh_param
        return p.alpha * torch.tanh(p.beta * x)
