"""LayerNorm."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, TensorLayer


class LayerNorm(TensorLayer):
    """Normalizes each item to mean 0 and variance 1 over all its values, then scales and shifts each place.

    y = (x - mean) / √(variance + eps) · scale + shift.

    bottom: x (N × …). top: y of x's shape. blobs (unless ``elementwise_affine: false``): scale and shift,
    each of the shape of one item, 1 and 0 at first.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there); Ba et al. 2016.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"layer_norm_param": "*"}

    def check(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise self.shape_error(f"the bottom must have at least 2 axes; got shape {list(shape)}")

    def declare(self, shape: Shape) -> list[BlobSpec]:
        if not self.param.layer_norm_param.elementwise_affine:
            return []
        return [
            BlobSpec(shape[1:], caffe_pb2.FillerParameter(type="constant", value=value))
            for value in (1.0, 0.0)
        ]

    def compute(
        self, x: torch.Tensor, scale: torch.Tensor | None = None, shift: torch.Tensor | None = None
    ) -> torch.Tensor:
        return F.layer_norm(x, x.shape[1:], scale, shift, self.param.layer_norm_param.eps)
