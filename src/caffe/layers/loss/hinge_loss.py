"""HingeLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._labels import class_labels
from caffe.layers.loss._loss_layer import LossLayer
from caffe.proto import caffe_pb2


class HingeLoss(LossLayer):
    """One-against-all hinge loss: L = Σₙ Σ_k max(0, 1 - s·x[n, k])^p / N, s = 1 for k = label, else -1.

    p is 1 for norm L1, 2 for L2.

    bottom: scores x (N × K, further axes counting as classes); labels (N), from 0 to K - 1. top: L (scalar).
    Differs from Caffe: labels outside the classes are an error. Source: BVLC ``HingeLoss``.
    """

    reads = {"hinge_loss_param": "*"}

    def check(self, scores: Shape, labels: Shape) -> None:
        self.check_items(scores, labels)

    def compute(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        items = scores.shape[0]
        scores = scores.reshape(items, math.prod(scores.shape[1:]))
        index, counted = class_labels(self, labels.flatten()[:items], scores, 1)
        sign = torch.ones_like(scores).scatter(1, index, -1.0)
        margin = torch.relu(1 + sign * scores)
        if self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2:
            margin = margin.square()
        if counted is not None:
            margin = margin * counted
        return margin.sum() / items
