"""What ``caffe train --watch`` adds: how each layer learns, and the page, which another process serves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from caffe.solvers.callbacks import Callback
from caffe.solvers.learning import Learning

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver


class Page(Callback):
    """The page of a snapshot prefix, for as long as training goes on."""

    def __init__(self, prefix: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "caffe", "watch", "--wait", prefix],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )

    def on_end(self, solver: Solver) -> None:
        self._process.terminate()
        self._process.wait()


def require() -> None:
    """Raise MissingPackageError without what the page needs."""
    from caffe.web import hosting

    hosting.require("caffe train --watch")


def callbacks(prefix: str, metrics: Path) -> list[Callback]:
    """For the run that writes ``metrics`` beside its snapshots."""
    layers = metrics.with_name(metrics.name.removesuffix("_metrics.jsonl") + "_layers.jsonl")
    return [Learning(layers), Page(prefix)]
