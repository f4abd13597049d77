"""Swish."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.tensor_layer import TensorLayer


class Swish(TensorLayer):
    """Self-gated unit: y = x · sigmoid(beta · x).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``Swish``; Ramachandran et al. 2017.
    """

    keeps_shape = True
    reads = {"swish_param": "*"}

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        beta = self.param.swish_param.beta
        return F.silu(x) if beta == 1 else x * torch.sigmoid(x * beta)
