"""Concat."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Concat(TensorLayer):
    """Joins the bottoms along an axis, in their order.

    bottom: x₁, x₂, … of equal shape but for ``axis`` (formerly ``concat_dim``). top: y, the sum of sizes at
    the axis.
    Differs from Caffe: nothing known. Source: BVLC ``Concat``.
    """

    num_bottoms = (1, None)
    reads = {"concat_param": "*"}

    def concat_axis(self, shape: Shape) -> int:
        p = self.param.concat_param
        if p.HasField("concat_dim"):
            return self.axis(p.concat_dim, shape, "concat_dim")
        return self.axis(p.axis, shape)

    def check(self, *shapes: Shape) -> None:
        p = self.param.concat_param
        if p.HasField("axis") and p.HasField("concat_dim"):
            raise self.error("must not be given together with axis", field="concat_dim", fix="Use axis")
        first = shapes[0]
        axis = self.concat_axis(first)
        for i, shape in enumerate(shapes):
            if len(shape) != len(first) or any(
                a != b for j, (a, b) in enumerate(zip(shape, first)) if j != axis
            ):
                raise self.shape_error(
                    f"the bottoms' shapes must be equal but for axis {axis}; bottom 0 has {list(first)},"
                    f" bottom {i} has {list(shape)}"
                )

    def compute(self, *bottoms: torch.Tensor) -> torch.Tensor:
        if len(bottoms) == 1:
            return bottoms[0]
        axis = self.concat_axis(tuple(bottoms[0].shape))
        if bottoms[0].is_meta:
            shape = list(bottoms[0].shape)
            shape[axis] = sum(x.shape[axis] for x in bottoms)
            return bottoms[0].new_empty(shape)
        return torch.cat(bottoms, axis)
