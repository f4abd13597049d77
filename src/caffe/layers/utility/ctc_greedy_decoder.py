"""CTCGreedyDecoder."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._ctc import greedy
from caffe.tensor_layer import TensorLayer


class CTCGreedyDecoder(TensorLayer):
    """Reads the most probable label of each time step, leaving out repetitions and blanks. No gradient.

    bottom: scores (T × N × C). top: labels (N × T), -1 behind the end of a sequence.
    Differs from Caffe: nothing known. Source: senlinuc/caffe_ocr; Graves et al. 2006.
    """

    differentiable = False
    origin = "caffe_ocr (senlinuc/caffe_ocr)"
    reads = {"ctc_param": "* -threshold"}

    def check(self, x: Shape, *others: Shape) -> None:
        if len(x) < 3 or math.prod(x[3:]) != 1:
            raise self.shape_error(f"bottom 0 must be T×N×C scores; got shape {list(x)}")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return greedy(x.flatten(2), self.param.ctc_param.blank_label)[0].to(x.dtype)
