"""AdaGrad."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.solvers.rule import Rule, Tensors
from caffe.torch_private import foreach_add_, foreach_addcmul_, foreach_div_, foreach_mul_, foreach_sqrt


class AdaGrad(Rule):
    """h = h + g²; Δ = rate · g / (√h + δ)   (Duchi et al. 2011)."""

    takes_momentum = False

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        (h,) = history
        foreach_addcmul_(h, grads, grads)
        root = foreach_sqrt(h)
        foreach_add_(root, self.delta)
        foreach_mul_(grads, rate)
        foreach_div_(grads, root)
