"""ShuffleChannel."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class ShuffleChannel(TensorLayer):
    """Mix the channels of groups: channel g · (C / group) + k moves to k · group + g.

    bottom: x (N × C × …). top: y of x's shape.
    Differs from Caffe: nothing known. Source: ShuffleNet forks' ``ShuffleChannel``; Zhang et al. 2018.
    """

    origin = "ShuffleNet (farmingyard/ShuffleNet)"
    reads = {"shuffle_channel_param": "*"}

    def check(self, shape: Shape) -> None:
        group = self.param.shuffle_channel_param.group
        if len(shape) < 2:
            raise self.shape_error(f"the bottom must have at least 2 axes; got shape {list(shape)}")
        if group < 1 or shape[1] % group:
            raise self.error(f"must divide the {shape[1]} channels; got {group}", field="group")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        group = self.param.shuffle_channel_param.group
        if group == 1:
            return x
        c = x.shape[1]
        if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
            last = x.permute(0, 2, 3, 1)
            mixed = last.unflatten(3, (group, c // group)).transpose(3, 4).reshape(last.shape)
            y: torch.Tensor = mixed.permute(0, 3, 1, 2)
            return y
        shuffled: torch.Tensor = x.unflatten(1, (group, c // group)).transpose(1, 2).reshape(x.shape)
        return shuffled
