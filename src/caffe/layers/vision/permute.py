"""Permute."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Permute(TensorLayer):
    """Change the order of the axes: axis i of y is axis ``order``\\[i] of x.

    ``order`` may be the beginning only: axes that it does not name follow in ascending order.
    bottom: x of any shape. top: y, x's axes reordered.
    Differs from Caffe: nothing known. Source: weiliu89/caffe (SSD) ``Permute``.
    """

    origin = "SSD (weiliu89/caffe)"
    reads = {"permute_param": "*"}
    in_place = False

    def order(self, axes: int) -> list[int]:
        """The whole order for a bottom of that many axes."""
        given = list(self.param.permute_param.order)
        return given + [i for i in range(axes) if i not in given]

    def check(self, shape: Shape) -> None:
        given = list(self.param.permute_param.order)
        for axis in given:
            if axis >= len(shape):
                raise self.shape_error(
                    f"must be below the number of axes, {len(shape)}; got {axis}", field="permute_param.order"
                )
        if len(set(given)) < len(given):
            raise self.error(f"must name no axis twice; got {given}", field="permute_param.order")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(self.order(x.dim()))
