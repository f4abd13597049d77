"""Slice."""

from __future__ import annotations

from itertools import pairwise

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Slice(TensorLayer):
    """Cuts the bottom into the tops along an axis: at each ``slice_point``, or into equal parts.

    bottom: x. top: y₁, y₂, … of x's shape but for ``axis`` (formerly ``slice_dim``).
    Differs from Caffe: nothing known. Source: BVLC ``Slice``.
    """

    num_tops = (1, None)
    reads = {"slice_param": "*"}

    def sizes(self, shape: Shape) -> tuple[int, list[int]]:
        """The axis and each top's size there."""
        p = self.param.slice_param
        if p.HasField("slice_dim"):
            axis = self.axis(p.slice_dim, shape, "slice_dim")
        else:
            axis = self.axis(p.axis, shape)
        size, tops = shape[axis], self.top_count
        points = [0, *p.slice_point, size]
        if not p.slice_point:
            if size % tops:
                raise self.shape_error(
                    f"the {tops} tops must divide the size of axis {axis}; got {size} (shape {list(shape)})",
                    fix="Give slice_point",
                )
            return axis, [size // tops] * tops
        if len(p.slice_point) != tops - 1:
            raise self.error(
                f"must be given once less than there are tops, {tops}; got {list(p.slice_point)}",
                field="slice_point",
            )
        if any(a >= b for a, b in pairwise(points[:-1])) or points[-2] > size:
            raise self.shape_error(
                f"must increase from above 0 to at most {size}, the size of axis {axis} (shape"
                f" {list(shape)}); got {list(p.slice_point)}",
                field="slice_point",
            )
        return axis, [b - a for a, b in pairwise(points)]

    def check(self, shape: Shape) -> None:
        p = self.param.slice_param
        if p.HasField("axis") and p.HasField("slice_dim"):
            raise self.error("must not be given together with axis", field="slice_dim", fix="Use axis")
        self.sizes(shape)

    def compute(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        axis, sizes = self.sizes(tuple(x.shape))
        return torch.split(x, sizes, axis)
