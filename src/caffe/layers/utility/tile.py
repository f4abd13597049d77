"""Tile."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Tile(TensorLayer):
    """Repeats the bottom ``tiles`` times along an axis.

    bottom: x (… × d at ``axis`` × …). top: y (… × tiles · d × …); the gradients of the copies are added.
    Differs from Caffe: nothing known. Source: BVLC ``Tile``.
    """

    reads = {"tile_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.tile_param
        self.axis(p.axis, shape)
        if p.tiles < 1:
            raise self.error(f"must be given, and at least 1; got {p.tiles}", field="tiles")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.tile_param
        repeats = [1] * x.dim()
        repeats[self.axis(p.axis, tuple(x.shape))] = p.tiles
        return x.repeat(repeats)
