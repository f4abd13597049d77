"""Nesterov's accelerated gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.solvers.rule import Rule, Tensors


class Nesterov(Rule):
    """v' = momentum · v + rate · g; Δ = (1 + momentum) · v' - momentum · v   (Nesterov 1983, as in Caffe)."""

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> Tensors:
        (v,) = history
        previous = torch._foreach_mul(v, -self.momentum)
        torch._foreach_mul_(v, self.momentum)
        torch._foreach_add_(v, grads, alpha=rate)
        torch._foreach_add_(previous, v, alpha=1 + self.momentum)
        return list(previous)
