"""Eltwise."""

from __future__ import annotations

from functools import reduce

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

_Op = caffe_pb2.EltwiseParameter


class Eltwise(TensorLayer):
    """Combines the bottoms value by value: SUM of coeffᵢ · xᵢ (each coeff 1 where none is given), PROD, or
    MAX.

    For MAX the gradient goes to one bottom: of the first two, the second where they are equal; a later one
    only where it is larger than all before.

    Forks: DIV (x₁ / x₂), MIN (as MAX) and SUB (x₁ - x₂ - …); a second bottom of fewer axes is repeated over
    the others, its axes starting at x₁'s ``axis`` (Synopsys).

    bottom: x₁, x₂, … of one shape. top: y of that shape.
    Differs from Caffe: ``stable_prod_grad: false`` changes nothing, PROD's gradient is right at zeros, too.
    Source: BVLC ``Eltwise``.
    """

    keeps_shape = True
    num_bottoms = (1, None)
    reads = {"eltwise_param": "* axis"}

    @property
    def sums(self) -> bool:
        """Whether the top is a sum, whose gradient does not depend on it."""
        return self.param.eltwise_param.operation == _Op.SUM

    def check(self, *shapes: Shape) -> None:
        p = self.param.eltwise_param
        if p.coeff and len(p.coeff) != len(shapes):
            raise self.error(
                f"must be given once for each of the {len(shapes)} bottoms or not at all; got {len(p.coeff)}",
                field="coeff",
            )
        if p.coeff and p.operation in (_Op.PROD, _Op.DIV, _Op.SUB):
            operation = _Op.EltwiseOp.Name(p.operation)
            raise self.error(f"must only be given for operation SUM; got {operation}", field="coeff")
        if p.operation == _Op.DIV and len(shapes) != 2:
            raise self.error(f"DIV takes exactly 2 bottoms; got {len(shapes)}", field="operation")
        if (
            len(shapes) > 1
            and shapes[1] != shapes[0]
            and (len(shapes[1]) < len(shapes[0]) or p.HasField("axis"))
        ):
            self._spread(shapes[0], shapes[1])
            shapes = (shapes[0], *shapes[2:])
        for i, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise self.shape_error(
                    f"the bottoms must have one shape; bottom 0 has {list(shapes[0])},"
                    f" bottom {i} has {list(shape)}"
                )

    def _spread(self, first: Shape, second: Shape) -> Shape:
        """The second bottom's shape with 1 for the axes that it lacks."""
        axis = self.axis(self.param.eltwise_param.axis, first)
        if first[axis : axis + len(second)] != second:
            raise self.shape_error(
                f"bottom 1 must have the sizes of bottom 0 from axis {axis} on; bottom 0 has shape"
                f" {list(first)},"
                f" bottom 1 {list(second)}",
                field="axis",
            )
        return (1,) * axis + second + (1,) * (len(first) - axis - len(second))

    def compute(self, *bottoms: torch.Tensor) -> torch.Tensor:
        p = self.param.eltwise_param
        if len(bottoms) > 1 and bottoms[1].shape != bottoms[0].shape:
            first, second, *others = bottoms
            second = second.reshape(self._spread(tuple(first.shape), tuple(second.shape)))
            bottoms = (first, second.expand_as(first), *others)
        if p.operation == _Op.PROD:
            return reduce(torch.mul, bottoms)
        if p.operation == _Op.DIV:
            return bottoms[0] / bottoms[1]
        if p.operation == _Op.SUB:
            return reduce(torch.sub, bottoms)
        if p.operation in (_Op.MAX, _Op.MIN) and len(bottoms) > 1:
            better = torch.gt if p.operation == _Op.MAX else torch.lt
            first, second, *others = bottoms
            top = torch.where(better(first, second), first, second)
            for x in others:
                top = torch.where(better(x, top), x, top)
            return top
        if not p.coeff:
            return reduce(torch.add, bottoms)
        top = bottoms[0] * p.coeff[0]
        for x, coeff in zip(bottoms[1:], p.coeff[1:]):
            top = torch.add(top, x, alpha=coeff)
        return top
