"""EltwiseAccuracy."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class EltwiseAccuracy(TensorLayer):
    """The share of positions whose largest score is their label's; labels listed as ignore_label do not
    count.

    bottom: scores (N × C × …); labels, as many as scores without channels. top: the share (scalar). No
    gradient.
    Differs from Caffe: nothing known. Source: HyeonwooNoh/DeconvNet.
    """

    num_bottoms = 2
    no_gradient = (0, 1)
    differentiable = False
    origin = "DeconvNet (HyeonwooNoh/DeconvNet)"
    reads = {"eltwise_accuracy_param": "*"}

    def check(self, scores: Shape, labels: Shape) -> None:
        if len(scores) < 2 or math.prod(labels) * scores[1] != math.prod(scores):
            raise self.shape_error(
                f"there must be a label for each position; got scores of shape {list(scores)} and"
                " labels of shape"
                f" {list(labels)}"
            )

    def compute(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        predicted = scores.argmax(1)
        wanted = labels.reshape(predicted.shape).long()
        counted = torch.ones_like(wanted, dtype=torch.bool)
        for label in self.param.eltwise_accuracy_param.ignore_label:
            counted &= wanted != label
        return ((predicted == wanted) & counted).sum().to(scores.dtype) / counted.sum().clamp(min=1)
