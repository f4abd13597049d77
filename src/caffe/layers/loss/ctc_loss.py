"""CtcLoss and CTCLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._ctc import ctc_loss, label_sequences
from caffe.layers.loss._loss_layer import LossLayer


class CtcLoss(LossLayer):
    """Connectionist temporal classification: minus the log probability of a label sequence, over all
    alignments.

    L is the mean over sequences; the gradient is that of the sum, as warp-ctc's is. A sequence too long for
    its time steps counts 0. Only the first ``time_step`` steps are read.

    bottom: scores x (T × N × C, not normalized); labels (N × L, or N·L values), entries equal to
    ``blank_label`` are dropped. top: L (scalar).
    Differs from Caffe: nothing known. Source: xmfbit/warpctc-caffe, jolibrain/caffe; Graves et al. 2006.
    """

    origin = "warpctc-caffe (xmfbit/warpctc-caffe)"
    reads = {"ctc_loss_param": "*"}

    def check(self, x: Shape, labels: Shape) -> None:
        p = self.param.ctc_loss_param
        if len(x) < 3 or math.prod(x[3:]) != 1:
            raise self.shape_error(f"bottom 0 must be T×N×C scores; got shape {list(x)}")
        if not 1 <= p.time_step <= x[0]:
            raise self.error(
                f"must be from 1 to {x[0]}, as bottom 0 has shape {list(x)}; got {p.time_step}",
                field="time_step",
            )
        if p.alphabet_size != x[2]:
            raise self.error(
                f"must be {x[2]}, as bottom 0 has shape {list(x)}; got {p.alphabet_size}",
                field="alphabet_size",
            )
        if not 0 <= p.blank_label < p.alphabet_size:
            raise self.error(
                f"must be in [0, {p.alphabet_size - 1}]; got {p.blank_label}", field="blank_label"
            )
        if math.prod(labels) % max(x[1], 1):
            raise self.shape_error(
                f"bottom 1 must hold as many labels for each of {x[1]} sequences; got {list(labels)}"
            )

    def compute(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if x.is_meta:
            return x.new_empty(())
        x = x[: self.param.ctc_loss_param.time_step].flatten(2)
        blank = self.param.ctc_loss_param.blank_label
        targets, lengths = label_sequences(self, labels.reshape(x.shape[1], -1), blank, x.shape[2])
        return ctc_loss(x, targets, lengths, blank)


class CTCLoss(CtcLoss):
    """CtcLoss under another name."""
