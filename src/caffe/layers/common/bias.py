"""Bias."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.common._broadcast import check_operand, learned_shape
from caffe.tensor_layer import BlobSpec, TensorLayer


class Bias(TensorLayer):
    """Sum with a learned or given tensor along some axes: y = x + b.

    b covers the axes of x from ``axis`` on and is repeated over the others.

    bottom: x (any shape), and b, if it is not learned.
    top: y of x's shape.
    blobs: b, unless it is a bottom (``num_axes`` axes of x from ``axis`` on; all the rest for −1, a scalar
    for 0).
    Differs from Caffe: nothing known. Source: BVLC ``Bias``.
    """

    num_bottoms = (1, 2)
    reads = {"bias_param": "*"}

    trailing: int  # axes of x behind those of b

    def check(self, shape: Shape, given: Shape | None = None) -> None:
        p = self.param.bias_param
        operand = learned_shape(self, p.axis, p.num_axes, shape) if given is None else given
        self.trailing = check_operand(self, p.axis, shape, operand, learned=given is None)

    def declare(self, shape: Shape, given: Shape | None = None) -> list[BlobSpec]:
        p = self.param.bias_param
        if given is not None:
            return []
        return [BlobSpec(learned_shape(self, p.axis, p.num_axes, shape), p.filler)]

    def compute(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return x + bias.reshape(*bias.shape, *(1,) * self.trailing)
