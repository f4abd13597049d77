"""Exp."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Exp(TensorLayer):
    """Power of a base: y = base ^ (shift + scale · x); a base of -1 stands for e.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``Exp``.
    """

    reads = {"exp_param": "*"}

    def check(self, shape: Shape) -> None:
        base = self.param.exp_param.base
        if base != -1 and not 0 < base < math.inf:
            raise self.error(f"must be above 0, or -1 for e; got {base:g}", field="base")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.exp_param
        log_base = 1.0 if p.base == -1 else math.log(p.base)
        scale, shift = log_base * p.scale, log_base * p.shift
        if scale != 1:
            x = x * scale
        return torch.exp(x + shift if shift else x)
