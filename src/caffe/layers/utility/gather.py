"""Gather."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class Gather(TensorLayer):
    """Collects its bottoms from all processors; with one processor each top is its bottom.

    bottom, top: any number, as many.
    Differs from Caffe: the fork's many processes are workers here, whose gradients are averaged; nothing is
    collected.
    Source: yjxiong/caffe.
    """

    num_bottoms = (1, None)
    num_tops = (1, None)
    equal_counts = True
    origin = "temporal segment networks (yjxiong/caffe)"

    def compute(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(x.clone() for x in bottoms)
