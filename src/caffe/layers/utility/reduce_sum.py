"""ReduceSum."""

from __future__ import annotations

import torch

from caffe.layers.utility._reduce import Reduce


class ReduceSum(Reduce):
    """Sum over axes.

    bottom: x. top: x's shape without the axes listed as ``axis`` (all where none is), or with them kept as
    1 with ``keepdims``.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    message = "reduce_sum_param"
    reads = {"reduce_sum_param": "*"}

    def reduce(self, x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
        return x.sum(axes, keepdim=keep)
