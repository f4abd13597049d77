"""LabelsequenceAccuracy."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._ctc import greedy, label_sequences
from caffe.tensor_layer import TensorLayer


class LabelsequenceAccuracy(TensorLayer):
    """The share of sequences that are read without an error (best path, repetitions and blanks left out).

    bottom: scores (N × T × C, as a Permute of what CtcLoss takes); labels (N × L), entries equal to
    ``blank_label`` are dropped. top: the share (scalar). No gradient.
    Differs from Caffe: nothing known. Source: xmfbit/warpctc-caffe.
    """

    num_bottoms = 2
    no_gradient = (0, 1)
    differentiable = False
    origin = "warpctc-caffe (xmfbit/warpctc-caffe)"
    reads = {"labelsequence_accuracy_param": "*"}

    def check(self, x: Shape, labels: Shape) -> None:
        if len(x) < 3 or math.prod(x[3:]) != 1 or math.prod(labels) % max(x[0], 1):
            raise self.shape_error(
                f"the bottoms must be N×T×C scores and N×L labels; got shapes {list(x)} and {list(labels)}"
            )

    def compute(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if x.is_meta:
            return x.new_empty(())
        x = x.flatten(2)
        blank = self.param.labelsequence_accuracy_param.blank_label
        targets, lengths = label_sequences(self, labels.reshape(x.shape[0], -1), blank, x.shape[2])
        predicted, read = greedy(x.transpose(0, 1), blank)
        most = min(predicted.shape[1], targets.shape[1])
        within = torch.arange(most, device=x.device) < lengths[:, None]
        same = ((predicted[:, :most] == targets[:, :most]) | ~within).all(1) & (read == lengths)
        return same.to(x.dtype).mean()
