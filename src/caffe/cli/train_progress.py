"""The live bar of a training run on a terminal: iteration, loss, lr, it/s, time left; log lines go above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caffe import logs
from caffe.cli import progress
from caffe.solvers.callbacks import Callback, Outputs

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver


class TrainProgress(Callback):
    """Shows the bar from its creation until the run ends."""

    def __init__(self, solver: Solver) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True, soft_wrap=True)
        self._progress = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task: Any = self._progress.add_task(
            "train", total=solver.param.max_iter, completed=solver.iter, numbers="", speed=""
        )
        self._test = self._loss = ""
        self._room_for_tests = console.width >= 110
        self._progress.start()
        logs.redirect(lambda text: console.print(text, markup=False, highlight=False))

    def on_iteration(self, solver: Solver, loss: float | None) -> None:
        task = self._progress.tasks[0]
        speed = f"{task.speed:.1f} it/s" if task.speed else ""
        self._progress.update(self._task, completed=solver.iter, speed=speed)

    def on_display(self, solver: Solver, iteration: int, loss: float, rate: float, outputs: Outputs) -> None:
        self._loss = f"loss {loss:.4g}  lr {rate:.3g}"
        self._show()

    def on_test(self, solver: Solver, net_id: int, iteration: int, outputs: Outputs) -> None:
        self._test = "  ".join(
            f"{name} {values[0]:.4g}" for name, values in outputs.items() if len(values) == 1
        )
        self._show()

    def _show(self) -> None:
        test = f"  (test: {self._test})" if self._test and self._room_for_tests else ""
        self._progress.update(self._task, numbers=self._loss + test)

    def on_end(self, solver: Solver) -> None:
        logs.redirect(None)
        self._progress.stop()


def wanted(flag: bool | None) -> bool:
    """Whether to show a bar: as the flag says, else where other commands do."""
    return progress.wanted() if flag is None else flag
