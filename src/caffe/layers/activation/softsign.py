"""Softsign."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.tensor_layer import TensorLayer


class Softsign(TensorLayer):
    """Softsign: y = x / (1 + |x|).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there); Bergstra et al. 2009.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return F.softsign(x)
