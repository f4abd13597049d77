"""Reshape."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Reshape(TensorLayer):
    """Gives other dimensions to the same values.

    ``num_axes`` axes from ``axis`` on (all of them for -1; a negative axis counts from behind the last) are
    replaced by ``shape``, in which 0 copies the bottom's size at that place and one -1 takes what is left.

    Forks: ``pixelshuffler`` r (Synopsys), where not 1, makes N × C × H × W into N × C/r² × r·H × r·W in place
    of all this, y[n, c, r·h + i, r·w + j] = x[n, r²·c + r·i + j, h, w].

    bottom: x. top: the same values, not in place.
    Differs from Caffe: nothing known. Source: BVLC ``Reshape``; Shi et al. 2016.
    """

    in_place = False
    shares_data = True
    reads = {"reshape_param": "* pixelshuffler"}

    def _reshaped(self, shape: Shape) -> Shape:
        p = self.param.reshape_param
        dims = list(p.shape.dim)
        axes = len(shape)
        start = p.axis if p.axis >= 0 else axes + 1 + p.axis
        if not 0 <= start <= axes:
            raise self.shape_error(
                f"must be in [{-axes - 1}, {axes}] for a bottom of shape {list(shape)}; got {p.axis}",
                field="axis",
            )
        end = axes if p.num_axes == -1 else start + p.num_axes
        if p.num_axes < -1 or end > axes:
            raise self.shape_error(
                f"must be -1 or from 0 to {axes - start} from axis {start} of a bottom of shape"
                f" {list(shape)}; got {p.num_axes}",
                field="num_axes",
            )
        for i, dim in enumerate(dims):
            if dim < -1:
                raise self.shape_error(f"each dim must be at least -1; got {dim}", field="shape")
            if dim == 0:
                if start + i >= axes:
                    raise self.shape_error(
                        f"dim {i} is 0, but a bottom of shape {list(shape)} has no axis {start + i} to copy",
                        field="shape",
                    )
                dims[i] = shape[start + i]
        if list(p.shape.dim).count(-1) > 1:
            raise self.shape_error(f"must have at most one dim of -1; got {list(p.shape.dim)}", field="shape")
        top = [*shape[:start], *dims, *shape[end:]]
        count = math.prod(shape)
        if -1 in dims:
            known = -math.prod(top)
            if known == 0 or count % known:
                raise self.shape_error(
                    f"the bottom's {count} values (shape {list(shape)}) must be a multiple of the other dims'"
                    f" {known} for the dim of -1; the top would be {top}",
                    field="shape",
                )
            top[start + dims.index(-1)] = count // known
        elif math.prod(top) != count:
            raise self.shape_error(
                f"the top must have as many values as the bottom, {count} (shape {list(shape)});"
                f" got {top} with {math.prod(top)}",
                field="shape",
            )
        return tuple(top)

    def check(self, shape: Shape) -> None:
        r = self.param.reshape_param.pixelshuffler
        if r == 1:
            self._reshaped(shape)
        elif r < 1 or len(shape) != 4 or shape[1] % (r * r):
            raise self.shape_error(
                f"must be at least 1, and its square divide the channels of an N × C × H × W bottom; got {r}"
                f" for shape {list(shape)}",
                field="pixelshuffler",
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        r = self.param.reshape_param.pixelshuffler
        if r != 1:
            return F.pixel_shuffle(x, r)
        return x.reshape(self._reshaped(tuple(x.shape)))
