"""ELU."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.tensor_layer import TensorLayer


class ELU(TensorLayer):
    """Exponential linear unit: y = x for x > 0, else alpha · (exp(x) - 1).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``ELU``; Clevert et al. 2015.
    """

    keeps_shape = True
    reads = {"elu_param": "*"}

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return F.elu(x, self.param.elu_param.alpha)
