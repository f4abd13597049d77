"""SigmoidCrossEntropyLoss."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer
from caffe.proto import caffe_pb2


class SigmoidCrossEntropyLoss(LossLayer):
    """Cross entropy of independent probabilities: L = -Σ (t · log σ(x) + (1 - t) · log(1 - σ(x))) / Z.

    Z is by ``loss_param.normalization``: BATCH_SIZE (also without one) N, FULL all values, VALID those whose
    target, cut off to a whole number, is not ``ignore_label``, NONE 1; at least 1.

    bottom: x (N × …); targets t, as many, from 0 to 1. top: L (scalar).
    Differs from Caffe: nothing known. Source: BVLC ``SigmoidCrossEntropyLoss``.
    """

    def check(self, x: Shape, targets: Shape) -> None:
        self.check_items(x, targets)
        if math.prod(x) != math.prod(targets):
            raise self.shape_error(
                f"the bottoms must have as many values; got shapes {list(x)} and {list(targets)}"
            )

    def compute(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        targets = targets.reshape(x.shape)
        ignored = self.ignored()
        counted = None if ignored is None else (targets.trunc() != ignored).to(x.dtype)
        total = F.binary_cross_entropy_with_logits(x, targets, counted, reduction="sum")
        mode = self.mode(default=caffe_pb2.LossParameter.BATCH_SIZE)
        return total / self.divisor(mode, x.shape[0], math.prod(x.shape[1:]), counted)
