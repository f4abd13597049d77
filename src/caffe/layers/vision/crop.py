"""Crop."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Crop(TensorLayer):
    """Cuts bottom 0 to the size of bottom 1 along ``axis`` and all axes after it.

    y[…, i, …] = x[…, i + offset, …].

    bottom: x (any shape), reference (as many axes; only its shape is used, and it gets no gradient).
    top: y, with x's sizes before ``axis`` and the reference's from there on.
    ``offset`` holds one value for all cropped axes, or one for each; 0 where there is none.
    Differs from Caffe: nothing known. Source: BVLC ``Crop``; Long et al. 2015.
    """

    num_bottoms = 2
    reads = {"crop_param": "*"}

    cut: tuple[slice, ...]

    def check(self, shape: Shape, reference: Shape) -> None:
        p = self.param.crop_param
        axis = self.axis(p.axis, shape)
        if len(reference) != len(shape):
            raise self.shape_error(
                f"both bottoms must have as many axes; got shapes {list(shape)} and {list(reference)}"
            )
        axes = len(shape) - axis
        if len(p.offset) > 1 and len(p.offset) != axes:
            raise self.error(
                f"must hold 1 value, or {axes}, one an axis from {axis} on; got {len(p.offset)}",
                field="offset",
            )
        offsets = tuple(p.offset) if len(p.offset) > 1 else (p.offset[0] if p.offset else 0,) * axes
        for i, offset in enumerate(offsets, axis):
            if offset + reference[i] > shape[i]:
                raise self.shape_error(
                    f"{offset} puts the crop of size {reference[i]} outside of bottom 0 along axis {i}; bottoms have"
                    f" shapes {list(shape)} and {list(reference)}",
                    field="offset",
                )
        self.cut = (slice(None),) * axis + tuple(
            slice(offset, offset + size) for offset, size in zip(offsets, reference[axis:])
        )

    def compute(self, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        return x[self.cut].clone()
