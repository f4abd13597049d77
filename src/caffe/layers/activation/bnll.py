"""BNLL."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.tensor_layer import TensorLayer


class BNLL(TensorLayer):
    """Binomial normal log likelihood: y = log(1 + exp(x)), computed without overflow.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``BNLL``.
    """

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return F.softplus(x, threshold=50)
