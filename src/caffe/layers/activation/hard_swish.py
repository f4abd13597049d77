"""HardSwish."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class HardSwish(TensorLayer):
    """Hard swish: y = x · min(max(x/6 + ½, 0), 1).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there); Howard et al. 2019.
    """

    keeps_shape = True
    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x * (x / 6 + 0.5).clamp(0, 1)
