"""Callbacks: what users hang into training; ``solver.solve(callbacks=[…])`` or ``solver.add_callback``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from caffe import logs
from caffe.errors import InputError, UnknownNameError, close_names

Outputs = dict[str, list[float]]
Solver = Any
"""A :class:`caffe.solvers.solver.Solver`, which imports this module; callbacks may say what they take."""
"""Output blob → its values (one for a scalar)."""


class Callback:
    """Does nothing; override what you need. Call ``solver.request_stop()`` to end training after the iteration."""

    def on_start(self, solver: Solver) -> None:
        """Before each iteration's forward."""

    def on_gradients_ready(self, solver: Solver) -> None:
        """After backward, before the update."""

    def on_iteration(self, solver: Solver, loss: float | None) -> None:
        """After the update; ``loss`` is the smoothed loss where this iteration displays it."""

    def on_display(self, solver: Solver, iteration: int, loss: float, rate: float, outputs: Outputs) -> None:
        """When an iteration's line is logged."""

    def before_tests(self, solver: Solver) -> None:
        """Before the tests of an iteration; the weights may be changed for them."""

    def on_test(self, solver: Solver, net_id: int, iteration: int, outputs: Outputs) -> None:
        """After each test of a test net; ``outputs`` are means over its batches."""

    def after_tests(self, solver: Solver) -> None:
        """After the tests of an iteration; the weights must be those of before."""

    def on_snapshot(self, solver: Solver, model: Path, state: Path) -> None:
        """After a snapshot was written."""

    def on_end(self, solver: Solver) -> None:
        """When ``solve`` is over, however it ended."""


class FunctionCallback(Callback):
    """pycaffe's form: two functions without arguments."""

    def __init__(self, on_start: object, on_gradients_ready: object) -> None:
        for name, function in (("on_start", on_start), ("on_gradients_ready", on_gradients_ready)):
            if not callable(function):
                raise InputError(f"add_callback takes functions; got {function!r} for {name}")
        self._start, self._ready = on_start, on_gradients_ready

    def on_start(self, solver: Solver) -> None:
        self._start()  # type: ignore[operator]

    def on_gradients_ready(self, solver: Solver) -> None:
        self._ready()  # type: ignore[operator]


def lower_is_better(output: str) -> bool:
    """Whether an output of this name is the better the smaller it is."""
    return "loss" in output.lower() or "error" in output.lower()


class _Watch(Callback):
    """Follows one output of a test net."""

    def __init__(self, output: str, mode: str = "auto", test_net: int = 0) -> None:
        if mode not in ("auto", "min", "max"):
            raise InputError(f"mode must be 'min', 'max' or 'auto'; got '{mode}'")
        if mode == "auto":
            mode = "min" if lower_is_better(output) else "max"
        self.output = output
        self.sign = 1.0 if mode == "max" else -1.0
        self.test_net = test_net
        self.best = -math.inf

    def improved(self, net_id: int, outputs: Outputs) -> bool | None:
        """Whether the output is better than ever; None for another test net."""
        if net_id != self.test_net:
            return None
        if self.output not in outputs:
            raise UnknownNameError(
                f"The test net has no output '{self.output}'",
                fix=close_names(self.output, outputs) or f"Outputs: {', '.join(outputs)}",
            )
        value = self.sign * outputs[self.output][0]
        if value > self.best:
            self.best = value
            return True
        return False


class EarlyStopping(_Watch):
    """Stops when an output of a test net has not improved for ``patience`` tests, or is an accuracy of 1."""

    def __init__(self, output: str, patience: int = 3, mode: str = "auto", test_net: int = 0) -> None:
        super().__init__(output, mode, test_net)
        self.patience = patience
        self._worse = 0

    def on_test(self, solver: Solver, net_id: int, iteration: int, outputs: Outputs) -> None:
        improved = self.improved(net_id, outputs)
        if improved is None:
            return
        self._worse = 0 if improved else self._worse + 1
        if improved and self.best == 1.0 and "accuracy" in self.output.lower():
            logs.info(f"Early stopping: {self.output} is 1, it cannot become better")
            solver.request_stop()
        if self._worse >= self.patience:
            logs.info(f"Early stopping: {self.output} has not improved for {self._worse} tests")
            solver.request_stop()


class BestSnapshot(_Watch):
    """Saves the net as ``path`` whenever an output of a test net is better than ever."""

    def __init__(self, output: str, path: str | Path, mode: str = "auto", test_net: int = 0) -> None:
        super().__init__(output, mode, test_net)
        self.path = Path(path)

    def on_test(self, solver: Solver, net_id: int, iteration: int, outputs: Outputs) -> None:
        if self.improved(net_id, outputs):
            solver.net.save(self.path)
            logs.info(f"Best {self.output} so far: {outputs[self.output][0]:g}, saved to {self.path}")
