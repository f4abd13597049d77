"""Metrics of a run beside its snapshots: ``<prefix>_metrics.jsonl`` and ``.csv``, and TensorBoard with the extra.

One JSON object a line: ``{"kind": "train" | "test", "iter", "seconds", "lr", "loss" (smoothed; train only), "net"
(which test net), "outputs": {name: [values]}}``. The CSVs have the columns of ``parse_log``: NumIters, Seconds,
LearningRate, then one for each output.
"""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from caffe.errors import FileAccessError, MissingPackageError
from caffe.solvers.callbacks import Callback, Outputs

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver


class Metrics(Callback):
    """Writes what is displayed and tested to ``<prefix>_metrics.jsonl`` and ``<prefix>_{train,test}.csv``.

    With ``append`` the files of an earlier part of the run are continued; lines from iterations that are run again
    are dropped. Raises FileAccessError.
    """

    def __init__(self, prefix: str, append: bool = False, start_iter: int = 0) -> None:
        self.path = Path(f"{prefix}_metrics.jsonl")
        self._prefix = prefix
        self._begin = time.monotonic()
        self._csv: dict[str, tuple[TextIO, Any]] = {}
        kept: list[dict[str, Any]] = []
        try:
            if append and self.path.exists():
                kept = [r for r in read(self.path) if r["iter"] < start_iter]
            self._begin -= max((r["seconds"] for r in kept), default=0.0)
            self._file: TextIO = self.path.open("w", encoding="utf-8")
        except OSError as error:
            raise FileAccessError(f"Metrics cannot be written: {error.strerror}", file=self.path) from None
        for row in kept:
            self._write(row)

    def on_display(self, solver: Solver, iteration: int, loss: float, rate: float, outputs: Outputs) -> None:
        self._write(self._row("train", iteration, rate, outputs) | {"loss": loss})

    def on_test(self, solver: Solver, net_id: int, iteration: int, outputs: Outputs) -> None:
        if outputs:
            self._write(self._row("test", iteration, solver.lr, outputs) | {"net": net_id})

    def on_end(self, solver: Solver) -> None:
        self._file.close()
        for file, _ in self._csv.values():
            file.close()

    def _row(self, kind: str, iteration: int, rate: float, outputs: Outputs) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._begin, 6)
        return {"kind": kind, "iter": iteration, "seconds": seconds, "lr": rate, "outputs": outputs}

    def _write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        columns = {"NumIters": row["iter"], "Seconds": row["seconds"], "LearningRate": f"{row['lr']:.7g}"}
        columns.update(
            {name: f"{value:.7g}" for name, value in flat(row["outputs"]).items()}
        )  # float32's digits
        name = row["kind"] if not row.get("net") else f"{row['kind']}{row['net']}"
        if name not in self._csv:
            file: TextIO = Path(f"{self._prefix}_{name}.csv").open("w", newline="", encoding="utf-8")  # noqa: SIM115
            writer = csv.DictWriter(file, list(columns), extrasaction="ignore", restval="")
            writer.writeheader()
            self._csv[name] = (file, writer)
        file, writer = self._csv[name]
        writer.writerow(columns)
        file.flush()


class TensorBoard(Callback):
    """Writes scalars for TensorBoard into a folder.

    What an earlier part of the run wrote there from ``start_iter`` on is hidden: those iterations are run again.
    Raises MissingPackageError without the package, FileAccessError.
    """

    def __init__(self, folder: str, start_iter: int = 0) -> None:
        self.require()
        from torch.utils.tensorboard import SummaryWriter

        try:
            self._writer: Any = SummaryWriter(folder, purge_step=start_iter or None)
        except OSError as error:
            raise FileAccessError(
                f"TensorBoard's files cannot be written: {error.strerror}", file=folder
            ) from None

    @staticmethod
    def require() -> None:
        """Raise MissingPackageError without the package."""
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError:
            raise MissingPackageError.of("tensorboard", "tensorboard", "--tensorboard") from None

    def on_display(self, solver: Solver, iteration: int, loss: float, rate: float, outputs: Outputs) -> None:
        self._writer.add_scalar("train/smoothed_loss", loss, iteration)
        self._writer.add_scalar("train/lr", rate, iteration)
        for name, value in flat(outputs).items():
            self._writer.add_scalar(f"train/{name}", value, iteration)

    def on_test(self, solver: Solver, net_id: int, iteration: int, outputs: Outputs) -> None:
        for name, value in flat(outputs).items():
            self._writer.add_scalar(f"test{net_id or ''}/{name}", value, iteration)

    def on_end(self, solver: Solver) -> None:
        self._writer.close()


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a last line cut short (by a crash) is left out."""
    rows = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(text))
        except ValueError:
            break
    return rows


def flat(outputs: Outputs) -> dict[str, float]:
    """Output → value; the values of an output with several are numbered."""
    found = {}
    for name, values in outputs.items():
        found.update({name if len(values) == 1 else f"{name}[{i}]": v for i, v in enumerate(values)})
    return found
