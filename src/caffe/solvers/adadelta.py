"""AdaDelta."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.solvers.rule import Rule, Tensors


class AdaDelta(Rule):
    """h = μ·h + (1-μ)·g²; u = g · √((d + δ)/(h + δ)); d = μ·d + (1-μ)·u²; Δ = rate · u   (Zeiler 2012; μ momentum)."""

    slots = 2  # order in a .solverstate: every h, then every d

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        h, d = history
        torch._foreach_mul_(h, self.momentum)
        torch._foreach_addcmul_(h, grads, grads, value=1 - self.momentum)
        ratio = torch._foreach_add(d, self.delta)
        torch._foreach_div_(ratio, torch._foreach_add(h, self.delta))
        torch._foreach_sqrt_(ratio)
        torch._foreach_mul_(grads, ratio)
        torch._foreach_mul_(d, self.momentum)
        torch._foreach_addcmul_(d, grads, grads, value=1 - self.momentum)
        torch._foreach_mul_(grads, rate)
