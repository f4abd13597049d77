"""What TensorFlow's resizes (Synopsys) share: sizes, formats, and where an output's position lies in the
input."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Resize(TensorLayer):
    """A layer with align_corners, half_pixel_centers, output sizes or scales, and data_format."""

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def resize_param(self) -> Any:
        """The layer's parameters."""
        raise self.error("has no resize_param()", fix="Define it in the layer's class")

    def check(self, shape: Shape) -> None:
        p = self.resize_param()
        if p.data_format not in ("NHWC", "NCHW"):
            raise self.error(f"must be NHWC or NCHW; got '{p.data_format}'", field="data_format")
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes ({p.data_format}); got shape {list(shape)}")
        if p.align_corners and p.half_pixel_centers:
            raise self.error("must not be given together with align_corners", field="half_pixel_centers")
        size = self.sizes(*(shape[1:3] if p.data_format == "NHWC" else shape[2:]))
        if min(size) < 1:
            raise self.error(
                f"must give a height and width of at least 1; got {size[0]}×{size[1]}", field="output_height"
            )

    def sizes(self, height: int, width: int) -> tuple[int, int]:
        """The top's height and width."""
        p = self.resize_param()
        return (
            p.output_height if p.HasField("output_height") else math.floor(height * p.scale_height),
            p.output_width if p.HasField("output_width") else math.floor(width * p.scale_width),
        )

    def ratio(self, size: int, into: int) -> float:
        """Input positions an output position."""
        return (size - 1) / (into - 1) if self.resize_param().align_corners and into > 1 else size / into

    def resize(self, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """x (N × C × H × W) resized."""
        raise self.error("has no resize()", fix="Define it in the layer's class")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        if self.resize_param().data_format == "NCHW":
            return self.resize(x, *self.sizes(x.shape[2], x.shape[3]))
        y = self.resize(x.permute(0, 3, 1, 2), *self.sizes(x.shape[1], x.shape[2]))
        return y.permute(0, 2, 3, 1)
