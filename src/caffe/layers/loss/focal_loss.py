"""FocalLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._focal import focal
from caffe.layers.loss._labels import class_labels
from caffe.layers.loss._loss_layer import LossLayer


class FocalLoss(LossLayer):
    """Softmax loss that gives easy examples less weight: L = -Σ f(p) log p / Z, p the label's probability.

    f(p) = alpha · (1 - p)^gamma (jolibrain, chuanqi305; alpha ¼ and gamma 2 by default). With the field
    ``type`` given it is caffe-windows' layer, whose alpha (1 by default) is the constant in the base:
    (alpha - p)^gamma for ORIGIN and LINEAR, (alpha + p)^gamma for ONEADDP; its gradient is the derivative for
    alpha 1 only. Z as in SoftmaxWithLoss. A probability counts as at least 1.18e-38.

    bottom: scores x (… × C at ``axis`` × …); labels, as many as scores without that axis.
    top: L (scalar); optionally the probabilities, of x's shape, without gradient.
    Differs from Caffe: a net of caffe-windows that leaves the parameters out must say ``type: ORIGIN`` to
    be told from the others. Source: jolibrain/caffe, chuanqi305/FocalLoss, happynear/caffe-windows; Lin et
    al. 2017.
    """

    num_tops = (1, 2)
    origin = "jolibrain/caffe, caffe-windows (happynear/caffe-windows)"
    reads = {"loss_param": "* pre_fixed_normalizer", "softmax_param": "*", "focal_loss_param": "* -beta"}

    def _axis(self, shape: Shape) -> int:
        p = self.param.focal_loss_param
        return self.axis(p.axis if p.HasField("axis") else self.param.softmax_param.axis, shape)

    def check(self, scores: Shape, labels: Shape) -> None:
        self.check_labels(scores, labels, self._axis(scores))
        p = self.param.focal_loss_param
        if p.gamma < 0:
            raise self.error(f"must be at least 0; got {p.gamma:g}", field="gamma")

    def compute(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        axis = self._axis(tuple(scores.shape))
        index, counted = class_labels(self, labels, scores, axis, self.ignored())
        log_p = torch.log_softmax(scores, axis)
        each = focal(log_p.gather(axis, index), self.param.focal_loss_param)
        if counted is not None:
            each = each * counted
        outer, inner = math.prod(scores.shape[:axis]), math.prod(scores.shape[axis + 1 :])
        loss = each.sum() / self.divisor(self.mode(), outer, inner, counted)
        return loss if self.top_count == 1 else (loss, log_p.detach().exp())
