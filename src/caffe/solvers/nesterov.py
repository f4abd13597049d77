"""Nesterov's accelerated gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.solvers.rule import Rule, Tensors


class Nesterov(Rule):
    """v' = momentum · v + rate · g; Δ = rate · g + momentum · v'   (Nesterov 1983, as in Caffe)."""

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        (v,) = history
        torch._foreach_mul_(grads, rate)
        torch._foreach_mul_(v, self.momentum)
        torch._foreach_add_(v, grads)
        torch._foreach_add_(grads, v, alpha=self.momentum)  # the same as (1 + momentum) · v' - momentum · v
