"""LabelSpecificAdd."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._labels import class_labels
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class LabelSpecificAdd(TensorLayer):
    """Adds ``bias`` to the label's logit where that is above -bias; in TEST only with ``transform_test``.

    The gradient is the top's, unchanged.

    bottom: x (N × C × …); labels (N). top: y of x's shape.
    Differs from Caffe: nothing known. Source: happynear/caffe-windows; Wang et al. 2018.
    """

    num_bottoms = 2
    no_gradient = (1,)
    origin = "caffe-windows (happynear/caffe-windows)"
    reads = {"label_specific_add_param": "*"}

    def check(self, x: Shape, labels: Shape) -> None:
        p = self.param.label_specific_add_param
        for field in ("anneal_bias", "bias_iter"):
            if len(getattr(p, field)):
                raise self.error("a bias that changes while training is not supported", field=field)
        if not x or math.prod(labels) != x[0]:
            raise self.shape_error(f"there must be a label for each item; got {list(x)} and {list(labels)}")

    def compute(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        p = self.param.label_specific_add_param
        if self.phase == caffe_pb2.TEST and not p.transform_test:
            return x.clone()
        rows = x.flatten(1)
        index, _ = class_labels(self, labels, rows, 1)
        logit = torch.gather(rows.detach(), 1, index)
        added = torch.where(logit > -p.bias, p.bias, 0.0).to(x.dtype)
        return (rows + torch.zeros_like(rows).scatter(1, index, added)).reshape(x.shape)
