"""Accuracy."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._labels import measured_labels
from caffe.tensor_layer import TensorLayer


class Accuracy(TensorLayer):
    """The share of predictions whose label is among the ``top_k`` highest scores.

    A label counts as found where fewer than top_k other classes score at least as high: ties count against
    it. Labels equal to ``ignore_label`` are left out; where none is left the result is 0. Labels outside the
    classes, as published segmentation nets have them, count as not found.

    bottom: scores (… × C at ``axis`` × …); labels, as many as scores without that axis.
    top: accuracy (scalar); optionally the accuracy of each class (C), 0 for classes without labels. No
    gradient.
    Differs from Caffe: a label outside the classes is counted, the first one with a warning; Caffe read past the
    scores there. Source: BVLC ``Accuracy``.
    """

    num_bottoms = 2
    num_tops = (1, 2)
    no_gradient = (0, 1)
    differentiable = False
    reads = {"accuracy_param": "*"}

    def check(self, scores: Shape, labels: Shape) -> None:
        p = self.param.accuracy_param
        axis = self.axis(p.axis, scores)
        if math.prod(labels) * scores[axis] != math.prod(scores):
            raise self.shape_error(
                f"the number of labels must be the number of scores without axis {axis}; got scores of shape"
                f" {list(scores)} and labels of shape {list(labels)}"
            )
        if p.top_k > scores[axis]:
            raise self.error(
                f"must be at most the number of classes, {scores[axis]} for scores of shape {list(scores)};"
                f" got {p.top_k}",
                field="top_k",
            )

    def compute(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        p = self.param.accuracy_param
        axis = self.axis(p.axis, tuple(scores.shape))
        classes = scores.shape[axis]
        counted = None
        if p.HasField("ignore_label"):
            kept = labels.long() != p.ignore_label
            shape = [*scores.shape[:axis], 1, *scores.shape[axis + 1 :]]
            counted, labels = kept.reshape(shape).to(scores.dtype), labels.where(kept, 0)
        index, known = measured_labels(self, labels, scores, axis)
        of_label = scores.gather(axis, index)
        better = (scores >= of_label).sum(axis, keepdim=True) - 1
        right = ((better < p.top_k) & known).to(scores.dtype)
        if counted is None:
            accuracy = right.mean() if right.numel() else right.sum()
        else:
            right = right * counted
            accuracy = right.sum() / counted.sum().clamp(min=1)
        if self.top_count < 2:
            return accuracy
        index = index.flatten()
        zeros = scores.new_zeros(classes)
        weight = known.to(scores.dtype) if counted is None else known * counted
        total = zeros.index_add(0, index, weight.flatten())
        return accuracy, zeros.index_add(0, index, right.flatten()) / total.clamp(min=1)
