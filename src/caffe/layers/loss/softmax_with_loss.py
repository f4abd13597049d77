"""SoftmaxWithLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._floor import at_least
from caffe.layers.loss._labels import class_labels
from caffe.layers.loss._loss_layer import LossLayer

_LEAST = math.log(torch.finfo(torch.float32).tiny)


class SoftmaxWithLoss(LossLayer):
    """Multinomial logistic loss of the softmax of scores: L = -Σ log(softmax(x)[label]) / Z.

    Z is by ``loss_param.normalization``: FULL all labels, VALID (also without one) those that are not
    ``ignore_label``, BATCH_SIZE the size before the axis, NONE 1; at least 1. A probability counts as at
    least 1.18e-38 (the smallest normal float32).

    Forks: ``weight_by_label_freqs`` (SegNet) multiplies each label's term by its class's ``class_weighting``;
    ``label_smoothing`` ε (NVIDIA, Intel) moves ε of each label to all classes alike, in the gradient only.

    bottom: scores x (… × C at ``softmax_param.axis`` × …); labels, as many as scores without that axis, from
    0 to C - 1. top: L (scalar); optionally the softmax, of x's shape, without a gradient of its own.
    Differs from Caffe: labels outside the classes are an error. Source: BVLC ``SoftmaxWithLoss``.
    """

    num_tops = (1, 2)

    def check(self, scores: Shape, labels: Shape) -> None:
        axis = self.axis(self.param.softmax_param.axis, scores)
        self.check_labels(scores, labels, axis)
        p = self.param.loss_param
        if p.weight_by_label_freqs and len(p.class_weighting) != scores[axis]:
            raise self.error(
                f"must be given once for each of the {scores[axis]} classes; got {len(p.class_weighting)}",
                field="class_weighting",
            )

    def compute(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        axis = self.axis(self.param.softmax_param.axis, tuple(scores.shape))
        index, counted = class_labels(self, labels, scores, axis, self.ignored())
        logs = torch.log_softmax(scores, axis)
        found = at_least(logs.gather(axis, index), _LEAST)
        p = self.param.loss_param
        if p.label_smoothing:
            share = p.label_smoothing / scores.shape[axis]
            smooth = (1 - p.label_smoothing - share) * found + share * logs.sum(axis, keepdim=True)
            found = found.detach() + smooth - smooth.detach()
        if p.weight_by_label_freqs:
            found = found * scores.new_tensor(list(p.class_weighting))[index]
        if counted is not None:
            found = found * counted
        outer, inner = math.prod(scores.shape[:axis]), math.prod(scores.shape[axis + 1 :])
        loss = -found.sum() / self.divisor(self.mode(), outer, inner, counted)
        if self.top_count < 2:
            return loss
        return loss, torch.softmax(scores.detach(), axis)
