"""Power."""

from __future__ import annotations

import numpy as np
import torch

from caffe.tensor_layer import TensorLayer


class Power(TensorLayer):
    """Scale, shift and power: y = (shift + scale · x) ^ power.

    Where power or scale is 0, y is the constant 1 or shift ^ power and the gradient is 0.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: with shift 0 the gradient at x = 0 is the derivative's limit, not 0/0.
    Source: BVLC ``Power``.
    """

    keeps_shape = True
    reads = {"power_param": "*"}

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.power_param
        if p.power * p.scale == 0:
            with np.errstate(all="ignore"):
                constant = 1.0 if p.power == 0 else float(np.power(p.shift, p.power, dtype=np.float64))
            return torch.full_like(x, constant)
        if p.scale != 1:
            x = x * p.scale
        if p.shift != 0:
            x = x + p.shift
        return x if p.power == 1 else x.pow(p.power)
