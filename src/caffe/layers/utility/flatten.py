"""Flatten."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Flatten(TensorLayer):
    """Makes the axes from ``axis`` to ``end_axis``, both included, one.

    bottom: x (d₀ × d₁ × …). top: the same values, not in place.
    Differs from Caffe: nothing known. Source: BVLC ``Flatten``.
    """

    in_place = False
    shares_data = True
    reads = {"flatten_param": "*"}

    def _flat(self, shape: Shape) -> Shape:
        p = self.param.flatten_param
        first, last = self.axis(p.axis, shape), self.axis(p.end_axis, shape, "end_axis")
        if first > last + 1:
            raise self.shape_error(f"must be at least axis, {first}; got {p.end_axis}", field="end_axis")
        return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])

    def check(self, shape: Shape) -> None:
        self._flat(shape)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(self._flat(tuple(x.shape)))
