"""Transpose."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Transpose(TensorLayer):
    """Reorders axes: axis i of the top is axis dim[i] of the bottom. Every axis must be listed once.

    bottom: x with as many axes as there are ``dim``. top: x transposed.
    Differs from Caffe: nothing known. Source: tianzhi0549/CTPN, senlinuc/caffe_ocr.
    """

    origin = "CTPN (tianzhi0549/CTPN)"
    reads = {"transpose_param": "*"}
    in_place = False

    def check(self, shape: Shape) -> None:
        dim = list(self.param.transpose_param.dim)
        if sorted(dim) != list(range(len(shape))):
            raise self.error(
                f"must list each of the bottom's {len(shape)} axes once; got {dim} for shape {list(shape)}",
                field="dim",
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(*self.param.transpose_param.dim).contiguous()
