"""LabelSpecificAdd."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._labels import class_labels
from caffe.proto import caffe_pb2
from caffe.tensor_layer import Stateful, TensorLayer


class LabelSpecificAdd(TensorLayer):
    """Adds ``bias`` to the label's logit where that is above -bias; nothing in TEST, ``transform_test`` or not.

    With ``bias_base`` the bias changes with each forward in TRAIN, t from ``iteration`` on:
    bias_base + (1 + bias_gamma · t)^bias_power - 1, between ``bias_min`` and ``bias_max``.
    The gradient is the top's, unchanged.

    bottom: x (N × C × …); labels (N). top: y of x's shape; optionally the bias (1).
    Differs from Caffe: the second top is 0 in TEST, where the fork leaves it unset.
    Source: happynear/caffe-windows (CPU and GPU); Wang et al. 2018.
    """

    num_bottoms = 2
    num_tops = (1, 2)
    no_gradient = (1,)
    origin = "caffe-windows (happynear/caffe-windows)"
    reads = {"label_specific_add_param": "*"}

    def check(self, x: Shape, labels: Shape) -> None:
        if not x or math.prod(labels) != x[0]:
            raise self.shape_error(f"there must be a label for each item; got {list(x)} and {list(labels)}")

    def _anneals(self) -> bool:
        return self.phase == caffe_pb2.TRAIN and self.param.label_specific_add_param.HasField("bias_base")

    def carries(self, x: Shape, labels: Shape) -> list[Shape]:
        """How many forwards there were."""
        return [(1,)] if self._anneals() else []

    def compute(
        self, x: torch.Tensor, labels: torch.Tensor, past: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...] | Stateful:
        p = self.param.label_specific_add_param
        if self.phase == caffe_pb2.TEST:
            return (x.clone(), x.new_zeros(1))[: self.top_count]
        bias = x.new_full((1,), p.bias)
        if self._anneals():
            past = x.new_zeros(1) if past is None else past
            bias = p.bias_base + (1 + p.bias_gamma * (p.iteration + past)) ** p.bias_power - 1
            bias = bias.clamp(min=p.bias_min).clamp(max=p.bias_max).to(x)
        rows = x.flatten(1)
        index, _ = class_labels(self, labels, rows, 1)
        logit = torch.gather(rows.detach(), 1, index)
        added = torch.where(logit > -bias, bias, torch.zeros_like(bias))
        y = (rows + torch.zeros_like(rows).scatter(1, index, added.expand_as(logit))).reshape(x.shape)
        tops = (y, bias)[: self.top_count]
        return Stateful(tops, (past + 1,)) if past is not None else tops
