"""ReLU."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.tensor_layer import TensorLayer


class ReLU(TensorLayer):
    """Rectified linear unit: y = x for x > 0, else negative_slope · x.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``ReLU``; Nair & Hinton 2010.
    """

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        slope = self.param.relu_param.negative_slope
        return F.leaky_relu(x, slope) if slope else F.relu(x)
