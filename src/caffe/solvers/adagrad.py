"""AdaGrad."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.solvers.rule import Rule, Tensors


class AdaGrad(Rule):
    """h = h + g²; Δ = rate · g / (√h + δ)   (Duchi et al. 2011)."""

    takes_momentum = False

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        (h,) = history
        torch._foreach_addcmul_(h, grads, grads)
        root = torch._foreach_sqrt(h)
        torch._foreach_add_(root, self.delta)
        torch._foreach_mul_(grads, rate)
        torch._foreach_div_(grads, root)
