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

    bottom: x₁, x₂, … of one shape. top: y of that shape.
    Differs from Caffe: ``stable_prod_grad: false`` changes nothing, PROD's gradient is right at zeros, too.
    Source: BVLC ``Eltwise``.
    """

    num_bottoms = (2, None)

    def check(self, *shapes: Shape) -> None:
        p = self.param.eltwise_param
        if p.coeff and len(p.coeff) != len(shapes):
            raise self.error(
                f"must be given once for each of the {len(shapes)} bottoms or not at all; got {len(p.coeff)}",
                field="coeff",
            )
        if p.coeff and p.operation == _Op.PROD:
            raise self.error("must only be given for operation SUM; got PROD", field="coeff")
        for i, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise self.shape_error(
                    f"the bottoms must have one shape; bottom 0 has {list(shapes[0])},"
                    f" bottom {i} has {list(shape)}"
                )

    def compute(self, *bottoms: torch.Tensor) -> torch.Tensor:
        p = self.param.eltwise_param
        if p.operation == _Op.PROD:
            return reduce(torch.mul, bottoms)
        if p.operation == _Op.MAX:
            first, second, *others = bottoms
            top = torch.where(first > second, first, second)
            for x in others:
                top = torch.where(x > top, x, top)
            return top
        if not p.coeff:
            return reduce(torch.add, bottoms)
        top = bottoms[0] * p.coeff[0]
        for x, coeff in zip(bottoms[1:], p.coeff[1:]):
            top = torch.add(top, x, alpha=coeff)
        return top
