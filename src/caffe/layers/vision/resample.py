"""Resample."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

_Type = caffe_pb2.ResampleParameter


class Resample(TensorLayer):
    """Resizes with a filter: NEAREST, LINEAR (triangle) or CUBIC, normalized by the weights inside the image.

    With f = in/out, an output's column c lies at c·f_x + f_y/2 - ½, its row r at r·f_y + f_x/2 - ½ (the
    original takes the other axis' factor for the half pixel). ``antialias`` widens the filter when a side
    shrinks. No gradient.

    bottom: x (N × C × H × W); optionally a blob of the wanted height and width. top: ``height`` × ``width``.
    Differs from Caffe: NEAREST takes the last row or column where the original reads beyond it (factors that
    differ by axis). Source: lmb-freiburg/flownet2, synopsys-caffe.
    """

    num_bottoms = (1, 2)
    no_gradient = (0, 1)
    differentiable = False
    origin = "FlowNet 2 (lmb-freiburg/flownet2)"
    reads = {"resample_param": "*"}

    def check(self, x: Shape, like: Shape | None = None) -> None:
        p = self.param.resample_param
        if p.type == _Type.AREA:
            raise self.error("must be NEAREST, LINEAR or CUBIC; got AREA", field="type")
        if len(x) != 4 or (like is not None and len(like) != 4):
            raise self.shape_error(f"the bottoms must have 4 axes; got shapes {list(x)}, {list(like or ())}")
        if like is None and (p.height < 1 or p.width < 1):
            raise self.error(
                f"height and width must be given and at least 1; got {p.height}×{p.width}", field="height"
            )

    def compute(self, x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        p = self.param.resample_param
        height, width = (p.height, p.width) if like is None else like.shape[2:]
        if x.is_meta:
            return x.new_empty(*x.shape[:2], height, width)
        fy, fx = x.shape[2] / height, x.shape[3] / width
        rows = torch.arange(height, device=x.device, dtype=torch.float32) * fy + fx / 2 - 0.5
        cols = torch.arange(width, device=x.device, dtype=torch.float32) * fx + fy / 2 - 0.5
        if p.type == _Type.NEAREST:
            row, col = (
                _round(at).clamp(0, size - 1).long() for at, size in ((rows, x.shape[2]), (cols, x.shape[3]))
            )
            return x[:, :, row[:, None], col]
        wide = p.antialias and (fx > 1 or fy > 1)
        down, across = self._weights(rows, x.shape[2], fy, wide), self._weights(cols, x.shape[3], fx, wide)
        total = torch.einsum("rh,nchw,sw->ncrs", down.to(x.dtype), x, across.to(x.dtype))
        weight = down.sum(1)[:, None] * across.sum(1)
        return torch.where(weight == 0, 0.0, total / weight.to(x.dtype)).to(x.dtype)

    def _weights(self, at: torch.Tensor, size: int, factor: float, wide: bool) -> torch.Tensor:
        """How much each input position (columns) counts for each output position (rows)."""
        cubic = self.param.resample_param.type == _Type.CUBIC
        narrow = 1 / factor if wide else 1.0
        reach = 2 if factor < 1 else math.ceil((4 if cubic else 2) / narrow)
        place = torch.arange(size, device=at.device, dtype=torch.float32)
        x = (narrow * (at[:, None] - place)).abs()
        if cubic:
            inner, outer = x * x * (1.5 * x - 2.5) + 1, x * (x * (-0.5 * x + 2.5) - 4) + 2
            weight = torch.where(x <= 1, inner, torch.where(x < 2, outer, torch.zeros_like(x)))
        else:
            weight = (1 - x).clamp(min=0)
        return narrow * weight * ((place - _round(at)[:, None]).abs() <= reach)


def _round(x: torch.Tensor) -> torch.Tensor:
    whole = x.trunc()
    return whole + ((x - whole) * 2).trunc()
