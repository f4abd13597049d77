"""Reduction."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

_Op = caffe_pb2.ReductionParameter


class Reduction(TensorLayer):
    """Reduces all axes from ``axis`` on to one value: coeff times the SUM, MEAN, ASUM (Σ|x|) or SUMSQ (Σx²).

    bottom: x (d₀ × … × d_axis × …). top: y (d₀ × … × d_(axis-1)), a scalar for axis 0.
    Differs from Caffe: nothing known. Source: BVLC ``Reduction``.
    """

    reads = {"reduction_param": "*"}

    def check(self, shape: Shape) -> None:
        self.axis(self.param.reduction_param.axis, shape)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.reduction_param
        axes = tuple(range(self.axis(p.axis, tuple(x.shape)), x.ndim))
        if p.operation == _Op.MEAN:
            y = x.mean(axes)
        elif p.operation == _Op.ASUM:
            y = x.abs().sum(axes)
        elif p.operation == _Op.SUMSQ:
            y = x.square().sum(axes)
        else:
            y = x.sum(axes)
        return y if p.coeff == 1 else y * p.coeff
