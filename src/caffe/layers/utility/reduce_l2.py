"""ReduceL2."""

from __future__ import annotations

import torch

from caffe.layers.utility._reduce import Reduce


class ReduceL2(Reduce):
    """Root of the sum of squares over axes.

    bottom: x. top: x's shape without the axes listed as ``axes`` (all where none is), or with them kept as
    1 unless ``keepdims: 0``.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    message = "reduce_l2_param"
    reads = {"reduce_l2_param": "*"}

    def reduce(self, x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
        norm: torch.Tensor = torch.linalg.vector_norm(x, 2, axes, keepdim=keep)
        return norm
