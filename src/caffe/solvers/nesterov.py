"""Nesterov's accelerated gradient."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.solvers.rule import Rule, Tensors
from caffe.torch_private import foreach_add_, foreach_mul_


class Nesterov(Rule):
    """v' = momentum · v + rate · g; Δ = rate · g + momentum · v'   (Nesterov 1983, as in Caffe)."""

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        (v,) = history
        foreach_mul_(grads, rate)
        foreach_mul_(v, self.momentum)
        foreach_add_(v, grads)
        foreach_add_(grads, v, alpha=self.momentum)  # the same as (1 + momentum) · v' - momentum · v
