"""SoftmaxWithLoss."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from caffe.blob import Shape
from caffe.layers.loss._labels import class_labels
from caffe.layers.loss._loss_layer import LossLayer

_LEAST = torch.finfo(torch.float32).tiny
_LARGEST_TERM = -math.log(_LEAST)
_NO_LABEL = -(2**62)


class _Loss(torch.autograd.Function):
    """The loss and the softmax; only the loss has a gradient, Σ weight · (softmax - target) / divisor.

    ``index`` and ``weight`` have the scores' shape with 1 at the axis. The limit of the probability is not
    in the gradient, as in the original.
    """

    @staticmethod
    def forward(
        ctx: Any,
        scores: torch.Tensor,
        index: torch.Tensor,
        weight: torch.Tensor | None,
        divisor: torch.Tensor | float,
        axis: int,
        smoothing: float,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        total, probs, each = _terms(scores, index, weight, divisor, axis)
        ctx.save_for_backward(probs, index, weight)
        ctx.divisor, ctx.axis, ctx.smoothing = divisor, axis, smoothing
        ctx.mark_non_differentiable(probs, each)
        return total, probs, each

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        probs, index, weight = ctx.saved_tensors
        scale = grads[0] / ctx.divisor
        if weight is not None:
            scale = scale * weight
        target = -scale
        if ctx.smoothing:
            share = ctx.smoothing / probs.shape[ctx.axis]
            diff = scale * (probs * (1 - share) - share)
            target = target * (1 - ctx.smoothing - share)
        else:
            diff = probs * scale
        diff.scatter_add_(ctx.axis, index, target.expand(index.shape))
        return diff, None, None, None, None, None


def _terms(
    scores: torch.Tensor,
    index: torch.Tensor,
    weight: torch.Tensor | None,
    divisor: torch.Tensor | float,
    axis: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The loss, the softmax and each label's part of the loss."""
    probs = torch.softmax(scores, axis)
    each = probs.gather(axis, index).clamp_(min=_LEAST).log_().neg_()
    if weight is not None:
        each *= weight
    return each.sum() / divisor, probs, each


class SoftmaxWithLoss(LossLayer):
    """Multinomial logistic loss of the softmax of scores: L = -Σ log(softmax(x)[label]) / Z.

    Z is by ``loss_param.normalization``: FULL all labels, VALID (also without one) those that are not
    ``ignore_label``, BATCH_SIZE the size before the axis, NONE 1; at least 1. A probability counts as at
    least 1.18e-38 (the smallest normal float32).

    Forks: ``weight_by_label_freqs`` (SegNet) multiplies each label's term by its class's ``class_weighting``;
    ``label_smoothing`` ε (NVIDIA, Intel) moves ε of each label to all classes alike, in the gradient only;
    a third top (cascade-rcnn) is each label's term, not divided by Z.

    bottom: scores x (… × C at ``softmax_param.axis`` × …); labels, as many as scores without that axis, from
    0 to C - 1. top: L (scalar); optionally the softmax, of x's shape, and the terms, of the labels' shape,
    without a gradient of their own.
    Differs from Caffe: labels outside the classes are an error.
    Source: BVLC ``SoftmaxWithLoss``, zhaoweicai/cascade-rcnn.
    """

    num_tops = (1, 3)
    reads = {
        "loss_param": "* pre_fixed_normalizer weight_by_label_freqs class_weighting label_smoothing",
        "softmax_param": "*",
    }

    def check(self, scores: Shape, labels: Shape) -> None:
        axis = self.axis(self.param.softmax_param.axis, scores)
        self.check_labels(scores, labels, axis)
        p = self.param.loss_param
        if p.weight_by_label_freqs and len(p.class_weighting) != scores[axis]:
            raise self.error(
                f"must be given once for each of the {scores[axis]} classes; got {len(p.class_weighting)}",
                field="class_weighting",
            )
        # What most nets ask for is cross_entropy, one operation instead of ten.
        special = p.weight_by_label_freqs or p.label_smoothing or self.ignored() is not None
        self._plain = axis == 1 and self.top_count < 2 and not special
        self._divisor = self.divisor(self.mode(), scores[0], math.prod(scores[2:]), None)

    _plain: bool
    _divisor: torch.Tensor | float

    def _cross_entropy(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | None:
        """The loss as torch has it; None where a label is no class or a probability may be below the least."""
        index = labels.reshape(scores.shape[0], *scores.shape[2:]).long()
        try:
            loss = F.cross_entropy(scores, index, ignore_index=_NO_LABEL)
        except IndexError:
            return None
        count = index.numel()
        if not loss.item() * count < _LARGEST_TERM:
            least, most = torch.aminmax(scores.detach())
            if not most.item() - least.item() + math.log(scores.shape[1]) < _LARGEST_TERM:
                return None
        return loss if count == self._divisor else loss * (count / self._divisor)

    def compute(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if self._plain and scores.device.type == "cpu" and scores.numel():
            losses = self._cross_entropy(scores, labels)
            if losses is not None:
                return losses
        axis = self.axis(self.param.softmax_param.axis, tuple(scores.shape))
        index, counted = class_labels(self, labels, scores, axis, self.ignored())
        p = self.param.loss_param
        outer, inner = math.prod(scores.shape[:axis]), math.prod(scores.shape[axis + 1 :])
        divisor = self.divisor(self.mode(), outer, inner, counted)
        weight = counted
        if p.weight_by_label_freqs:
            weight = scores.new_tensor(list(p.class_weighting))[index]
            weight = weight if counted is None else weight * counted
        loss: torch.Tensor
        if torch.is_grad_enabled():
            loss, probs, each = _Loss.apply(scores, index, weight, divisor, axis, p.label_smoothing)  # type: ignore[no-untyped-call]
        else:
            loss, probs, each = _terms(scores, index, weight, divisor, axis)
        if self.top_count < 2:
            return loss
        return (loss, probs, each.reshape(labels.shape))[: self.top_count]
