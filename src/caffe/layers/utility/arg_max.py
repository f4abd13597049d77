"""ArgMax."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class ArgMax(TensorLayer):
    """The places of the ``top_k`` largest values, largest first; of equal values the last one comes first.

    Without ``axis``, an item's values are one vector, and ``out_max_val`` gives the values beside their
    places; with ``axis``, ``out_max_val`` gives the values in place of their places.

    bottom: x (N × …).
    top: N × 1 × top_k, N × 2 × top_k with ``out_max_val`` (and ones up to x's axes); with ``axis`` x's shape
    with top_k at the axis. No gradient.
    Differs from Caffe: nothing known. Source: BVLC ``ArgMax``.
    """

    no_gradient = (0,)
    differentiable = False
    reads = {"argmax_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.argmax_param
        if not shape:
            raise self.shape_error("needs a bottom of at least 1 axis; got a scalar")
        if p.HasField("axis"):
            axis = self.axis(p.axis, shape)
            size, what = shape[axis], f"the size of axis {axis}"
        else:
            size, what = math.prod(shape[1:]), "the number of values of an item"
        if not 1 <= p.top_k <= size:
            raise self.error(
                f"must be from 1 to {what}, {size} for a bottom of shape {list(shape)}; got {p.top_k}",
                field="top_k",
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.argmax_param
        if p.HasField("axis"):
            values, places = _largest(x, self.axis(p.axis, tuple(x.shape)), p.top_k)
            return values if p.out_max_val else places
        values, places = _largest(x.reshape(x.shape[0], math.prod(x.shape[1:])), 1, p.top_k)
        top = torch.stack((places, values), 1) if p.out_max_val else places.unsqueeze(1)
        return top.reshape(top.shape + (1,) * (x.ndim - 3))


def _largest(x: torch.Tensor, axis: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest values along an axis and their places, both of x's type; ties from the back."""
    flipped = x.flip(axis)
    if count == 1:
        values, places = flipped.max(axis, keepdim=True)
    else:
        values, places = flipped.sort(dim=axis, descending=True, stable=True)
        values, places = values.narrow(axis, 0, count), places.narrow(axis, 0, count)
    return values, (x.shape[axis] - 1 - places).to(x.dtype)
