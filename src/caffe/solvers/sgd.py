"""SGD: stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim.sgd import sgd

from caffe.solvers.rule import Rule, Tensors


class SGD(Rule):
    """v = momentum · v + rate · g; Δ = v   (Polyak 1964; the rate inside v, as in Caffe)."""

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> Tensors:
        (v,) = history
        torch._foreach_mul_(v, self.momentum)
        torch._foreach_add_(v, grads, alpha=rate)
        return v

    def apply(
        self,
        values: Tensors,
        grads: Tensors,
        history: Sequence[Tensors],
        rate: float,
        decay: float,
        iteration: int,
    ) -> Tensors:
        (v,) = history
        # (torch's fused kernel leaves v alone without momentum, but v is also the diff and the snapshot's history.)
        if rate == 0 or self.momentum == 0 or not all(t.is_contiguous() for t in (*values, *grads, *v)):
            return super().apply(values, grads, history, rate, decay, iteration)
        # One pass over memory for it all; torch has the rate outside of v, so ours goes into the gradients.
        scale = torch.full((), 1 / rate, device=values[0].device)
        sgd(
            values,
            grads,
            list(v),  # type: ignore[arg-type]
            fused=True,
            grad_scale=scale,
            lr=1.0,
            weight_decay=rate * decay,
            momentum=self.momentum,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        return v
