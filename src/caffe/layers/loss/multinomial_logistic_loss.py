"""MultinomialLogisticLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._floor import at_least
from caffe.layers.loss._labels import class_labels
from caffe.layers.loss._loss_layer import LossLayer


class MultinomialLogisticLoss(LossLayer):
    """Multinomial logistic loss of probabilities: L = -Σₙ log(max(p[n, label], 1e-20)) / N.

    bottom: p (N × C, further axes counting as classes); labels (N), from 0 to C - 1. top: L (scalar).
    Differs from Caffe: labels outside the classes are an error. Source: BVLC ``MultinomialLogisticLoss``.
    """

    def check(self, probs: Shape, labels: Shape) -> None:
        self.check_items(probs, labels)
        if math.prod(labels[1:]) != 1:
            raise self.shape_error(f"takes one label for each item; got labels of shape {list(labels)}")

    def compute(self, probs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        probs = probs.reshape(probs.shape[0], math.prod(probs.shape[1:]))
        index, counted = class_labels(self, labels, probs, 1)
        terms = at_least(probs.gather(1, index), 1e-20).log()
        if counted is not None:
            terms = terms * counted
        return -terms.sum() / probs.shape[0]
