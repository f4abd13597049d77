"""A moving average of the weights, which often judges better than the weights of any one iteration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from caffe import runtime
from caffe.errors import InputError
from caffe.solvers.callbacks import Callback
from caffe.solvers.training import Training

ENDING = ".ema.caffemodel"


class Averaging(Callback):
    """Keeps average ← decay · average + (1 − decay) · weights, after each iteration, of all parameters of the net.

    Tests are made with the average, and a best snapshot is of it; ``PREFIX_iter_N.ema.caffemodel`` stands beside every
    snapshot. A run that is resumed goes on with that file. In the beginning the decay is (1 + n) / (10 + n) of n
    iterations, where that is smaller. Raises InputError for a decay outside 0 to 1.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise InputError(f"The decay of averaged weights must be between 0 and 1; got {decay:g}")
        self.decay = decay
        self._average: list[torch.Tensor] = []
        self._own: list[torch.Tensor] = []
        self._count = 0

    def on_start(self, solver: Training) -> None:
        if self._average:
            return
        self._count = solver.iter
        values = _values(solver)
        file = _file(solver)
        if solver.iter and file.exists():
            own = [value.clone() for value in values]
            solver.net.copy_from(file)
            values = _values(solver)
            self._average = [value.clone() for value in values]
            _put(values, own)
        else:
            self._average = [value.clone() for value in values]

    def on_iteration(self, solver: Training, loss: float | None) -> None:
        self._count += 1
        decay = min(self.decay, (1 + self._count) / (10 + self._count))
        for average, value in zip(self._average, _values(solver)):
            average.lerp_(value, 1 - decay)

    def before_tests(self, solver: Training) -> None:
        self.on_start(solver)
        values = _values(solver)
        self._own = [value.clone() for value in values]
        _put(values, self._average)

    def after_tests(self, solver: Training) -> None:
        _put(_values(solver), self._own)
        self._own = []

    def on_snapshot(self, solver: Training, model: Path, state: Path) -> None:
        self.before_tests(solver)
        try:
            solver.net.save(_file(solver))
        finally:
            self.after_tests(solver)


def _file(solver: Training) -> Path:
    return Path(f"{solver.param.snapshot_prefix}_iter_{solver.iter}{ENDING}")


def _values(solver: Training) -> list[torch.Tensor]:
    device = runtime.device()
    return [p.blob.data_memory.mutable_on(device).detach() for p in solver.net.learnable]


def _put(values: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for value, other in zip(values, others):
            value.copy_(other)
