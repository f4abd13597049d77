"""TanH."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class TanH(TensorLayer):
    """Hyperbolic tangent: y = tanh(x).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``TanH``.
    """

    keeps_shape = True

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x)
