"""HardTanH."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class HardTanH(TensorLayer):
    """Hard hyperbolic tangent: y = min(max(x, -1), 1).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(-1, 1)
