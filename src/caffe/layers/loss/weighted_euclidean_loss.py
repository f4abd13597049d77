"""WeightedEuclideanLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class WeightedEuclideanLoss(LossLayer):
    """Half the mean squared distance, value by value weighted: L = Σ w · (a - b)² / (2 N).

    bottom: a (N × …); b and w, as many values; a and b may have a gradient. top: L (scalar).
    Differs from Caffe: forks that weight by pair, by position or by a matrix have another layer of this name;
    only weights for each value are taken. Source: several forks, among them
    AlexanderSavochkin/caffe-facialkp ``WeightedEuclideanLoss``.
    """

    num_bottoms = 3
    no_gradient = (2,)
    origin = "several forks"

    def check(self, a: Shape, b: Shape, weights: Shape) -> None:
        self.check_items(a, b, weights)
        if not math.prod(a) == math.prod(b) == math.prod(weights):
            raise self.shape_error(
                f"the bottoms must have as many values; got shapes {list(a)}, {list(b)} and {list(weights)}"
            )

    def compute(self, a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        squares = (a - b.reshape(a.shape)).square()
        return (squares * weights.reshape(a.shape)).sum() / (2 * a.shape[0])
