"""Workers: what a solver asks of the other processes that train the same net, at the few places it must."""

from __future__ import annotations

from typing import Any

from caffe.solvers.signals import Action


class Workers:
    """This process alone. :mod:`caffe.parallel` puts a group of processes into ``solver.workers``.

    Every method is called by all workers at the same place of the same iteration.
    """

    def agree(self, action: Action) -> Action:
        """What all of them do at the end of this iteration, from what each was asked for."""
        return action

    def follow(self, stop: bool) -> bool:
        """After the root tested or wrote a snapshot: the root's ``stop``, for all."""
        return stop

    def mean(self, value: float) -> float:
        """The mean of a number over the workers."""
        return value

    def gather(self, state: Any) -> list[Any]:
        """Every worker's state, in order of rank, at the root; an empty list elsewhere."""
        return [state]
