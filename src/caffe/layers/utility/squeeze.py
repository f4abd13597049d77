"""Squeeze."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Squeeze(TensorLayer):
    """Leaves out axes of size 1: those listed as ``axis``, or all.

    bottom: x. top: x without those axes.
    Differs from Caffe: nothing known. Source: synopsys-caffe.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"squeeze_param": "*"}

    def axes(self, shape: Shape) -> list[int]:
        listed = self.param.squeeze_param.axis
        if not listed:
            return [i for i, size in enumerate(shape) if size == 1]
        return [self.axis(a, shape) for a in listed]

    def check(self, shape: Shape) -> None:
        for axis in self.axes(shape):
            if shape[axis] != 1:
                raise self.error(
                    f"must list axes of size 1; got {axis}, which has size {shape[axis]} in shape"
                    f" {list(shape)}",
                    field="axis",
                )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        left_out = self.axes(tuple(x.shape))
        return x.reshape([size for i, size in enumerate(x.shape) if i not in left_out])
