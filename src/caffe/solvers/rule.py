"""Rule: what an update rule is, apart from its mathematics.

A rule turns gradients into updates for all parameters of one learning rate at once, by torch's foreach operations.
On the CPU they run over pieces that stay in its caches from the first operation to the last: with several passes
over memory, large nets would wait for the memory most of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch

from caffe.errors import SolverError
from caffe.proto import caffe_pb2
from caffe.torch_private import foreach_add_, foreach_sub_

Tensors = list[torch.Tensor]

_PIECE, _WHOLE = 1 << 18, 1 << 20
"""How many values are updated together: large enough for the threads, small enough for a cache; and up to which
number nothing is cut."""


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

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        """Turn gradients into updates, in place, with the history's slots (each a list parallel to ``grads``)."""
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
        """Add ``decay`` · values to the gradients and subtract the updates from the values; returns the updates.

        They are in tensors that the rule leaves alone until its next call.
        """
        for some_values, some_grads, *some_history in _pieces([values, grads, *history]):
            if decay:
                foreach_add_(some_grads, some_values, alpha=decay)
            self.update(some_grads, some_history, rate, iteration)
            foreach_sub_(some_values, some_grads)
        return grads


def _pieces(lists: Sequence[Tensors]) -> Iterator[Sequence[Tensors]]:
    """Parallel lists of tensors, cut into as many parallel lists as a cache needs."""
    if sum(t.numel() for t in lists[0]) <= _WHOLE or lists[0][0].device.type != "cpu":
        yield lists
        return
    small: list[Tensors] = [[] for _ in lists]
    held = 0
    for together in zip(*lists):
        count = together[0].numel()
        if count > _PIECE and all(t.is_contiguous() for t in together):
            for parts in zip(*(t.view(-1).split(_PIECE) for t in together)):
                yield [[part] for part in parts]
            continue
        if held and held + count > _PIECE:
            yield small
            small, held = [[] for _ in lists], 0
        for tensors, tensor in zip(small, together):
            tensors.append(tensor)
        held += count
    if held:
        yield small
