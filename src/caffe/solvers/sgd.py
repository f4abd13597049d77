"""SGD: stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.solvers.rule import Rule, Tensors


class SGD(Rule):
    """v = momentum · v + rate · g; Δ = v   (Polyak 1964; the rate inside v, as in Caffe)."""

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> Tensors:
        (v,) = history
        torch._foreach_mul_(v, self.momentum)
        torch._foreach_add_(v, grads, alpha=rate)
        return v
