"""KernelLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class KernelLoss(LossLayer):
    """Difference of pairs under a Gaussian kernel: L = Σ ±(1 - exp(-|a - b|² / (2σ²))) / N.

    The sign is - where the two labels, cut off to whole numbers, are equal, and + where they are not; σ² is
    ``sigma_sq``.

    bottom: a (N × C); b (N × C); labels of a (N); labels of b (N). top: L (scalar).
    Differs from Caffe: the gradient is the loss's; the fork divides it by N as a whole number, which makes it 0
    for every batch of more than one pair. Source: Nicole1990/AdvKin ``KernelLoss``.
    """

    num_bottoms = 4
    no_gradient = (2, 3)
    origin = "AdvKin (Nicole1990/AdvKin)"
    reads = {"kernel_loss_param": "*"}

    def check(self, a: Shape, b: Shape, first: Shape, second: Shape) -> None:
        if not self.param.kernel_loss_param.sigma_sq > 0:
            raise self.error(
                f"must be above 0; got {self.param.kernel_loss_param.sigma_sq:g}", field="sigma_sq"
            )
        self.check_items(a, b, first, second)
        for shape in (a, b):
            if len(shape) < 2 or shape[1] != a[1] or math.prod(shape[2:]) != 1:
                raise self.shape_error(
                    f"the first two bottoms must have one shape N × C (× 1 × 1); got {list(a)} and {list(b)}"
                )
        for shape in (first, second):
            if math.prod(shape[1:]) != 1:
                raise self.shape_error(f"the labels must be one for each item; got shape {list(shape)}")

    def compute(
        self, a: torch.Tensor, b: torch.Tensor, first: torch.Tensor, second: torch.Tensor
    ) -> torch.Tensor:
        squared = (a.flatten(1) - b.flatten(1)).square().sum(1)
        apart = -torch.expm1(squared / (-2 * self.param.kernel_loss_param.sigma_sq))
        same = first.reshape(-1).trunc() == second.reshape(-1).trunc()
        return torch.where(same, -apart, apart).sum() / max(len(a), 1)
