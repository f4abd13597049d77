"""PReLU."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, TensorLayer


class PReLU(TensorLayer):
    """Rectified linear unit with a learned slope: y = x for x > 0, else a · x, with one a for each channel.

    bottom: x (N × C × …). top: y of x's shape.
    blobs: a (C; a scalar with ``channel_shared``), filled with 0.25 where no filler is given.
    Differs from Caffe: nothing known. Source: BVLC ``PReLU``; He et al. 2015.
    """

    keeps_shape = True
    reads = {"prelu_param": "*"}

    def check(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise self.shape_error(f"needs a bottom of at least 2 axes (N × C × …); got shape {list(shape)}")
        channels = 1 if self.param.prelu_param.channel_shared else shape[1]
        if len(self.blobs) and self.blobs[0].count != channels:
            raise self.shape_error(
                f"a bottom of shape {list(shape)} has {shape[1]} channels, but the layer was made for"
                f" {self.blobs[0].count}"
            )

    def declare(self, shape: Shape) -> list[BlobSpec]:
        p = self.param.prelu_param
        filler = p.filler if p.HasField("filler") else caffe_pb2.FillerParameter(value=0.25)
        return [BlobSpec(() if p.channel_shared else (shape[1],), filler)]

    def compute(self, x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        return F.prelu(x, slope.reshape(-1))
