"""SpatialDropout."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class SpatialDropout(TensorLayer):
    """Sets whole channels of an image to 0 by chance and scales the others up, in TRAIN; the identity in
    TEST.

    bottom: x (N × C × …). top: y of x's shape: 0 with the probability dropout_ratio, else x / (1 -
    dropout_ratio), drawn once a channel.
    Differs from Caffe: nothing known. Source: intel/caffe; Tompson et al. 2015.
    """

    origin = "intel/caffe"
    reads = {"spatial_dropout_param": "*"}

    def check(self, shape: Shape) -> None:
        ratio = self.param.spatial_dropout_param.dropout_ratio
        if not 0 <= ratio < 1:
            raise self.error(f"must be in [0, 1); got {ratio:g}", field="dropout_ratio")
        if len(shape) < 2:
            raise self.shape_error(f"the bottom must have an axis of channels; got shape {list(shape)}")

    @property
    def draws(self) -> bool:
        return self.phase == caffe_pb2.TRAIN

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        if self.phase == caffe_pb2.TEST:
            return x
        kept = 1 - self.param.spatial_dropout_param.dropout_ratio
        mask = torch.empty(*x.shape[:2], *[1] * (x.dim() - 2), dtype=x.dtype, device=x.device)
        return x * (mask.bernoulli_(kept) / kept)
