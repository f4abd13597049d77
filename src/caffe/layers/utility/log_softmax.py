"""LogSoftmax."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class LogSoftmax(TensorLayer):
    """Logarithm of the softmax along an axis: y_c = x_c - log Σ_k exp(x_k).

    bottom: x (… × C at ``axis`` × …). top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"log_softmax_param": "*"}

    full_precision = True

    def check(self, shape: Shape) -> None:
        self.axis(self.param.log_softmax_param.axis, shape)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(x, self.param.log_softmax_param.axis)
