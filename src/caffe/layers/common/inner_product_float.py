"""InnerProductFloat."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.common.inner_product import InnerProduct
from caffe.layers.vision._fixed_point import Formats, read_formats


class InnerProductFloat(InnerProduct):
    """InnerProduct in fixed point, on floats: y = Q(clip(x̃·W̃ᵀ) + b̃), with W̃, x̃, b̃ and y rounded.

    ``qcodeconfig``, rounding and gradients are as of ConvolutionFloat.

    bottom, top, blobs: as of InnerProduct; the blobs are not rounded.
    Differs from Caffe: as ConvolutionFloat does. Source: ICT-CHASE/On-accelerator-training
    ``InnerProductFloat``.
    """

    full_precision = True
    origin = "On-accelerator training (ICT-CHASE/On-accelerator-training)"

    formats: Formats

    def check(self, shape: Shape) -> None:
        super().check(shape)
        self.formats = read_formats(self)

    def compute(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        p, f = self.param.inner_product_param, self.formats
        rows = f.input.round(x).flatten(self.axis(p.axis, x.shape))
        rounded = f.weights.round(weight)
        return f.result(F.linear(rows, rounded.t() if p.transpose else rounded), bias)
