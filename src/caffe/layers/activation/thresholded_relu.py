"""ThresholdedReLU."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class ThresholdedReLU(TensorLayer):
    """Rectified linear unit with a threshold: y = x for x > alpha, else 0.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there); Konda et al. 2014.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"thresholded_relu_param": "*"}

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > self.param.thresholded_relu_param.alpha, x, torch.zeros_like(x))
