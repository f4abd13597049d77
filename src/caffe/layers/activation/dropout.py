"""Dropout."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.activation._dropout import dropout
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class Dropout(TensorLayer):
    """In TRAIN sets a random share of values to zero: y = x · m / (1 - dropout_ratio); in TEST y = x.

    m is 1 with probability 1 - dropout_ratio, else 0, drawn for each value at each forward from torch's
    generator (``caffe.set_random_seed``). Forks: without ``scale_train`` (Fast R-CNN), y = x · m in TRAIN and
    y = x · (1 - dropout_ratio) in TEST; ``sample_weights_test`` (SegNet) drops in TEST as in TRAIN.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: other random numbers; a ratio outside 0 ≤ ratio < 1 is an error.
    Source: BVLC ``Dropout``; Srivastava et al. 2014.
    """

    keeps_shape = True
    reads = {"dropout_param": "* scale_train sample_weights_test"}

    def check(self, shape: Shape) -> None:
        ratio = self.param.dropout_param.dropout_ratio
        if not 0 <= ratio < 1:
            raise self.error(f"must be at least 0 and below 1; got {ratio:g}", field="dropout_ratio")

    @property
    def draws(self) -> bool:
        return self.phase == caffe_pb2.TRAIN or self.param.dropout_param.sample_weights_test

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.dropout_param
        if self.phase == caffe_pb2.TEST and not p.sample_weights_test:
            return x if p.scale_train else x * (1 - p.dropout_ratio)
        y = dropout(x, p.dropout_ratio)
        return y if p.scale_train else y * (1 - p.dropout_ratio)
