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

    bottom: x (N × …); targets t, as many, from 0 to 1; optionally (MNC) weights, as many, by whose sum L is then
    divided where it is above 0; ``loss_param`` does nothing with them. top: L (scalar).
    Differs from Caffe: with weights that sum to no more than 0, L is the weighted sum, where MNC's keeps the value
    from before. Source: BVLC ``SigmoidCrossEntropyLoss``; MNC (daijifeng001/caffe-mnc).
    """

    num_bottoms = (2, 3)
    no_gradient = (1, 2)
    reads = {"loss_param": "* pre_fixed_normalizer"}

    def check(self, x: Shape, *others: Shape) -> None:
        self.check_items(x, *others)
        for shape in others:
            if math.prod(x) != math.prod(shape):
                raise self.shape_error(
                    f"the bottoms must have as many values; got shapes {list(x)} and {list(shape)}"
                )

    def compute(
        self, x: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        targets = targets.reshape(x.shape)
        if weights is not None:
            total = F.binary_cross_entropy_with_logits(x, targets, weights.reshape(x.shape), reduction="sum")
            divisor = weights.sum()
            return total / torch.where(divisor > 0, divisor, 1.0)
        ignored = self.ignored()
        counted = None if ignored is None else (targets.trunc() != ignored).to(x.dtype)
        total = F.binary_cross_entropy_with_logits(x, targets, counted, reduction="sum")
        mode = self.mode(default=caffe_pb2.LossParameter.BATCH_SIZE)
        return total / self.divisor(mode, x.shape[0], math.prod(x.shape[1:]), counted)
