"""Reverse."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Reverse(TensorLayer):
    """Turns the order along axes around.

    bottom: x of any shape. top: y of x's shape, y[…, i, …] = x[…, size - 1 - i, …] along each ``axis``, or 0.
    Differs from Caffe: nothing known. Source: tianzhi0549/CTPN; synopsys-caffe.
    """

    origin = "CTPN (tianzhi0549/CTPN)"
    reads = {"reverse_param": "*"}

    def check(self, shape: Shape) -> None:
        self.axes(shape)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(self.axes(tuple(x.shape)))

    def axes(self, shape: Shape) -> list[int]:
        """The axes of a bottom of this shape that are turned around."""
        return [self.axis(axis, shape) for axis in self.param.reverse_param.axis or [0]]
