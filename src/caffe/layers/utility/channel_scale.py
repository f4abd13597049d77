"""ChannelScale."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class ChannelScale(TensorLayer):
    """Multiply all channels of a position alike: y = s · x; the inverse of Normalize with two tops.

    bottom: x (N × C × …); s (N × 1 × …, one value for each image and position). top: y of x's shape.
    Differs from Caffe: the fields of channel_scale_param (a learned scale for all, halves left out) are not
    known here. Source: happynear/caffe-windows ``ChannelScale``.
    """

    num_bottoms = 2
    origin = "caffe-windows (happynear/caffe-windows)"
    in_place = False

    def check(self, x: Shape, scale: Shape) -> None:
        if len(x) < 2 or not scale or scale[0] != x[0] or math.prod(scale) * x[1] != math.prod(x):
            raise self.shape_error(
                "bottom 1 must have one value for each image and position of bottom 0 N×C×…;"
                f" got shapes {list(x)} and {list(scale)}"
            )

    def compute(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return x * scale.reshape(x.shape[0], 1, *x.shape[2:])
