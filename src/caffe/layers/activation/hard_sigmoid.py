"""HardSigmoid."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class HardSigmoid(TensorLayer):
    """Hard sigmoid: y = min(max(alpha·x + beta, 0), 1).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    keeps_shape = True
    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"hard_sigmoid_param": "*"}

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.hard_sigmoid_param
        return (p.alpha * x + p.beta).clamp(0, 1)
