"""Trials before a training: how long it will take, and whether a net can learn a few batches by heart."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from caffe import limits, runtime
from caffe.errors import SolverError
from caffe.solvers.callbacks import Callback, Outputs

if TYPE_CHECKING:
    from caffe.layers.data._prefetching import PrefetchingLayer
    from caffe.solvers.solver import Solver

_LEARNED = 0.1  # the share of the first loss below which batches count as known by heart


def data_layers(solver: Solver, what: str) -> list[PrefetchingLayer]:
    """The training net's layers that read batches. Raises SolverError where there is none."""
    from caffe.layers.data._prefetching import PrefetchingLayer

    found = [step.layer for step in solver.net.steps if isinstance(step.layer, PrefetchingLayer)]
    if not found:
        raise SolverError(
            f"{what} batches of data layers that read files, as Data and ImageData; the training net has none",
            file=solver.file,
        )
    return found


def hold(solver: Solver, count: int) -> None:
    """Let the training net learn from its first batches alone, without tests and snapshots. Raises SolverError."""
    for layer in data_layers(solver, "--overfit holds"):
        layer.hold(count)
    solver.param.test_interval = solver.param.snapshot = 0
    solver.param.snapshot_after_train = False


class Verdict(Callback):
    """Says at the end whether the loss went down as it must on a few batches."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_display(self, solver: Solver, iteration: int, loss: float, rate: float, outputs: Outputs) -> None:
        self.losses.append(loss)

    def on_end(self, solver: Solver) -> None:
        if len(self.losses) < 2:
            click.echo("The loss was not displayed twice: set display and max_iter in the solver.")
            return
        first, last = self.losses[0], min(self.losses[-3:])
        click.echo(f"The loss went from {first:.4g} to {last:.4g}.")
        if last < _LEARNED * first:
            click.echo("The net learns these batches by heart, as it should.")
        else:
            click.echo(
                "A net should learn a few batches by heart: look at labels, losses, frozen layers and the rate, or "
                "let it train longer."
            )


def estimate(solver: Solver) -> str:
    """Run a batch to train on, and one of each test net, and say in words the time and memory that training takes."""
    param = solver.param
    each: list[float] = []
    runs: list[Callable[[], object]] = [lambda: _train(solver), *(net.forward for net in solver.test_nets)]
    for run in runs:
        run()  # starts readers, and chooses kernels
        begin = time.perf_counter()
        run()
        _wait()
        each.append(time.perf_counter() - begin)
    said = f"A batch to train on takes {_seconds(each[0])}"
    if solver.test_nets:
        said += ", one to test on " + " and ".join(map(_seconds, each[1:]))
    iterations = max(param.max_iter - solver.iter, 0)
    total = iterations * param.iter_size * each[0]
    tests = iterations // param.test_interval + 1 if param.test_interval and solver.test_nets else 0
    total += tests * sum(count * one for count, one in zip(param.test_iter, each[1:]))
    said += (
        f". {iterations} iterations{f' with {tests} tests' if tests else ''} take about {_seconds(total)}."
    )
    peak = _peak()
    return said + (f" Memory so far: {limits.readable(peak)}." if peak else "")


def _train(solver: Solver) -> None:
    solver.net.forward_loss()
    solver.net.backward_steps()


def _wait() -> None:
    if runtime.device().type == "cuda":
        import torch

        torch.cuda.synchronize()


def _peak() -> int:
    """The most bytes that were taken so far: on the device, else by the process; 0 where nothing tells."""
    if runtime.device().type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(runtime.device()))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _seconds(value: float) -> str:
    if value < 1:
        return f"{1000 * value:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
