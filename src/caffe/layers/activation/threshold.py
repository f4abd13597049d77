"""Threshold."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class Threshold(TensorLayer):
    """Step function: y = 1 for x > threshold, else 0. It has no gradient.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``Threshold``.
    """

    differentiable = False
    reads = {"threshold_param": "*"}

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return (x > self.param.threshold_param.threshold).to(x.dtype)
