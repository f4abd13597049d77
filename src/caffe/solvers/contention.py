"""Training on a machine that is busy with something else."""

from __future__ import annotations

import time

import torch

from caffe import logs, systems
from caffe.solvers.callbacks import Callback, Solver

_SECONDS = 15.0
_SHARE = 0.3


class Contention(Callback):
    """Warns once when the training's thread was ready to run, but had no processor, for a third of the time.

    On two processors a second busy process of two threads costs far more than half of the speed, since the threads of
    each wait for one another in every layer; fewer threads lose less.
    """

    def __init__(self) -> None:
        self._since = 0.0  # not yet
        self._times: tuple[float, float] | None = None
        self._said = False

    def on_start(self, solver: Solver) -> None:
        now = time.monotonic()
        if self._said or (self._since and now - self._since < _SECONDS):
            return
        seconds, self._since = now - self._since, now
        before, self._times = self._times, systems.time_on_processors()
        if before is None or self._times is None:
            return
        ran, waited = self._times[0] - before[0], self._times[1] - before[1]
        if waited > _SHARE * (ran + waited):
            self._said = True
            logs.warning(
                f"Other work takes the processors: training was ready to run but waited for one for"
                f" {100 * waited / (ran + waited):.0f} % of the last {seconds:.0f} s. It computes with"
                f" {torch.get_num_threads()} thread(s); with OMP_NUM_THREADS=1 before the command it suffers less"
            )
