"""AdaDelta."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.solvers.rule import Rule, Tensors
from caffe.torch_private import foreach_add, foreach_addcmul_, foreach_div_, foreach_mul_, foreach_sqrt_


class AdaDelta(Rule):
    """h = μ·h + (1-μ)·g²; u = g · √((d + δ)/(h + δ)); d = μ·d + (1-μ)·u²; Δ = rate · u   (Zeiler 2012; μ momentum)."""

    slots = 2  # order in a .solverstate: every h, then every d

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        h, d = history
        foreach_mul_(h, self.momentum)
        foreach_addcmul_(h, grads, grads, value=1 - self.momentum)
        ratio = foreach_add(d, self.delta)
        foreach_div_(ratio, foreach_add(h, self.delta))
        foreach_sqrt_(ratio)
        foreach_mul_(grads, ratio)
        foreach_mul_(d, self.momentum)
        foreach_addcmul_(d, grads, grads, value=1 - self.momentum)
        foreach_mul_(grads, rate)
