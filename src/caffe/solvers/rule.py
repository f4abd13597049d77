"""Rule: what an update rule is, apart from its mathematics.

A rule turns gradients into updates for all parameters of one learning rate at once, by torch's foreach operations.
``update(grads, history, rate, iteration)`` may overwrite ``grads``; it returns tensors that are then subtracted from
the parameters, and that it leaves alone until its next call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from caffe.errors import SolverError
from caffe.proto import caffe_pb2

Tensors = list[torch.Tensor]


class Rule:
    """An update rule. ``slots`` is how many history tensors each parameter has in a .solverstate."""

    slots: ClassVar[int] = 1
    takes_momentum: ClassVar[bool] = True

    def __init__(self, param: caffe_pb2.SolverParameter) -> None:
        if param.momentum != 0 and not self.takes_momentum:
            raise SolverError(
                f"cannot be used with {type(self).__name__}; got {param.momentum:g}",
                field="momentum",
                fix="Leave momentum out",
            )
        self.momentum: float = param.momentum
        self.delta: float = param.delta

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> Tensors:
        """The updates, from gradients and the history's slots (each a list parallel to ``grads``)."""
        raise SolverError(f"{type(self).__name__} has no update()")

    def apply(
        self,
        values: Tensors,
        grads: Tensors,
        history: Sequence[Tensors],
        rate: float,
        decay: float,
        iteration: int,
    ) -> Tensors:
        """Add ``decay`` · values to the gradients and subtract the updates from the values; returns the updates."""
        if decay:
            torch._foreach_add_(grads, values, alpha=decay)
        updates = self.update(grads, history, rate, iteration)
        torch._foreach_sub_(values, updates)
        return updates
