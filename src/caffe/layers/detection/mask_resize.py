"""MaskResize."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class MaskResize(TensorLayer):
    """Resizes masks by bilinear interpolation, corners on corners.

    bottom: masks (R × C × H × W). top: R × C × output_height × output_width.
    Differs from Caffe: nothing known. Source: daijifeng001/caffe-mnc; Dai et al. 2016.
    """

    origin = "MNC (daijifeng001/caffe-mnc)"
    reads = {"mask_resize_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.mask_resize_param
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes; got shape {list(shape)}")
        if min(p.output_height, p.output_width) < 1:
            raise self.error(
                f"height and width must be given and at least 1; got {p.output_height}×{p.output_width}",
                field="output_height",
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.mask_resize_param
        return F.interpolate(x, (p.output_height, p.output_width), mode="bilinear", align_corners=True)
