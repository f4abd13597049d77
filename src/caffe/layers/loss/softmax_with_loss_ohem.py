"""SoftmaxWithLossOHEM."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._labels import class_labels
from caffe.layers.loss._loss_layer import LossLayer


class SoftmaxWithLossOHEM(LossLayer):
    """Softmax loss that also says each position's loss, for hard example mining: L = -Σ log p(label) / Z.

    Z as in SoftmaxWithLoss, or pre_fixed_normalizer for PRE_FIXED.

    bottom: scores x (… × C at ``softmax_param.axis`` × …); labels, as many as scores without that axis.
    top: L (scalar); optionally the probabilities (x's shape); optionally each position's loss (the labels'
    shape, 0 where they are ignored), without gradient.
    Differs from Caffe: with three tops the probabilities are given, too; the original leaves that top unset.
    Source: daijifeng001/caffe-rfcn; Dai et al. 2016.
    """

    num_tops = (1, 3)
    origin = "R-FCN (daijifeng001/caffe-rfcn)"
    reads = {"loss_param": "* pre_fixed_normalizer", "softmax_param": "*"}

    def check(self, scores: Shape, labels: Shape) -> None:
        self.check_labels(scores, labels, self.axis(self.param.softmax_param.axis, scores))

    def compute(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        axis = self.axis(self.param.softmax_param.axis, tuple(scores.shape))
        index, counted = class_labels(self, labels, scores, axis, self.ignored())
        log_p = torch.log_softmax(scores, axis)
        each = -log_p.gather(axis, index)
        if counted is not None:
            each = each * counted
        outer, inner = math.prod(scores.shape[:axis]), math.prod(scores.shape[axis + 1 :])
        loss = each.sum() / self.divisor(self.mode(), outer, inner, counted)
        if self.top_count == 1:
            return loss
        return (loss, log_p.detach().exp(), each.detach().reshape(labels.shape))[: self.top_count]
