"""Piece."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Piece(TensorLayer):
    """A block of the bottom: begin[i] to begin[i] + size[i] along axis i; size -1 is all that is left.

    bottom: x. top: shape ``size``.
    Differs from Caffe: nothing known. Source: synopsys-caffe.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"piece_param": "*"}
    in_place = False

    def check(self, shape: Shape) -> None:
        p = self.param.piece_param
        if len(p.begin) != len(shape) or len(p.size) != len(shape):
            raise self.error(
                f"begin and size must be given once for each of the {len(shape)} axes; got {len(p.begin)} and"
                f" {len(p.size)}",
                field="piece_param",
            )
        for axis, (begin, size, total) in enumerate(zip(p.begin, p.size, shape)):
            size = total - begin if size == -1 else size
            if begin < 0 or size < 1 or begin + size > total:
                raise self.error(
                    f"must lie inside the bottom; got begin {begin} and size {size} on axis {axis} of"
                    f" size {total}",
                    field="piece_param",
                )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.piece_param
        parts = zip(p.begin, p.size, x.shape)
        return x[tuple(slice(b, total if s == -1 else b + s) for b, s, total in parts)].clone()
