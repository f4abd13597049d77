"""SGD: stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.solvers.rule import Rule, Tensors
from caffe.torch_private import foreach_add_, foreach_copy_, foreach_mul_, fused_sgd_

_FUSED = ("cpu", "cuda")
"""Devices whose fused kernel takes its factors in double precision, as 1 - rate needs it."""


class SGD(Rule):
    """v = momentum · v + rate · g; Δ = v   (Polyak 1964; the rate inside v, as in Caffe)."""

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        (v,) = history
        foreach_mul_(v, self.momentum)
        foreach_add_(v, grads, alpha=rate)
        foreach_copy_(grads, v)

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
        if self.momentum == 0 or values[0].device.type not in _FUSED or not _contiguous(values, grads, v):
            return super().apply(values, grads, history, rate, decay, iteration)
        # One pass over memory for it all. Torch has the rate outside of v; as 1 - dampening it is inside.
        fused_sgd_(
            values,
            grads,
            v,
            weight_decay=decay,
            momentum=self.momentum,
            lr=1.0,
            dampening=1.0 - rate,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )
        return v


def _contiguous(*lists: Tensors) -> bool:
    return all(t.is_contiguous() for tensors in lists for t in tensors)
