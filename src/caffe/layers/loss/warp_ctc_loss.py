"""WarpCTCLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._ctc import ctc_loss, label_sequences
from caffe.layers.loss._loss_layer import LossLayer


class WarpCTCLoss(LossLayer):
    """Connectionist temporal classification, as CtcLoss, with the sizes taken from the bottoms and blank 0.

    bottom: scores x (T × N × C, not normalized); labels (N × L), entries equal to the blank label
    (``ctc_param.blank_label``) are dropped. top: L (scalar), the mean over sequences with the gradient of
    the sum.
    Differs from Caffe: nothing known. Source: senlinuc/caffe_ocr; Graves et al. 2006.
    """

    origin = "caffe_ocr (senlinuc/caffe_ocr)"
    reads = {"ctc_param": "* -threshold"}

    def check(self, x: Shape, labels: Shape) -> None:
        if len(x) < 3 or math.prod(x[3:]) != 1:
            raise self.shape_error(f"bottom 0 must be T×N×C scores; got shape {list(x)}")
        if math.prod(labels) % max(x[1], 1):
            raise self.shape_error(
                f"bottom 1 must hold as many labels for each of {x[1]} sequences; got {list(labels)}"
            )

    def compute(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if x.is_meta:
            return x.new_empty(())
        x = x.flatten(2)
        blank = self.param.ctc_param.blank_label
        targets, lengths = label_sequences(self, labels.reshape(x.shape[1], -1), blank, x.shape[2])
        return ctc_loss(x, targets, lengths, blank)
