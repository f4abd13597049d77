"""Log."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Log(TensorLayer):
    """Logarithm to a base: y = log(shift + scale · x) / log(base); a base of -1 stands for e.

    bottom: x of any shape. top: y of x's shape; NaN where shift + scale · x is negative.
    Differs from Caffe: nothing known. Source: BVLC ``Log``.
    """

    reads = {"log_param": "*"}

    def check(self, shape: Shape) -> None:
        base = self.param.log_param.base
        if base != -1 and (not 0 < base < math.inf or base == 1):
            raise self.error(f"must be above 0 and not 1, or -1 for e; got {base:g}", field="base")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.log_param
        if p.scale != 1:
            x = x * p.scale
        if p.shift != 0:
            x = x + p.shift
        y = torch.log(x)
        return y if p.base == -1 else y / math.log(p.base)
