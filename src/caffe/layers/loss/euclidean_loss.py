"""EuclideanLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class EuclideanLoss(LossLayer):
    """Half the mean squared distance: L = Σ (a - b)² / (2 N).

    bottom: a (N × …); b, as many values; both may have a gradient. top: L (scalar).
    Differs from Caffe: nothing known. Source: BVLC ``EuclideanLoss``.
    """

    no_gradient = ()

    def check(self, a: Shape, b: Shape) -> None:
        self.check_items(a, b)
        if math.prod(a) != math.prod(b):
            raise self.shape_error(
                f"the bottoms must have as many values; got shapes {list(a)} and {list(b)}"
            )

    def compute(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b.reshape(a.shape)).square().sum() / (2 * a.shape[0])
