"""Metrics of a run beside its snapshots: ``<prefix>_metrics.jsonl`` and ``.csv``, and TensorBoard with the extra.

One JSON object a line: ``{"run" (its id: when it began), "kind": "train" | "test", "iter", "seconds", "lr", "loss"
(smoothed; train only), "net" (which test net), "outputs": {name: [values]}}``. The CSVs have the columns of
``parse_log``: NumIters, Seconds, LearningRate, then one for each output. What an earlier run wrote stays: the next one
writes ``<prefix>_run2_metrics.jsonl`` and so on; one that is resumed goes on in the newest.
"""

from __future__ import annotations

import csv
import errno
import glob
import itertools
import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from caffe.errors import FileAccessError, MissingPackageError
from caffe.formats import atomic
from caffe.solvers.callbacks import Callback, Outputs
from caffe.solvers.training import Training


class Metrics(Callback):
    """Writes what is displayed and tested to ``<prefix>_metrics.jsonl`` and ``<prefix>_{train,test}.csv``.

    Nothing is written before the first row. Files of earlier runs stay as they are: a new run's are named
    ``<prefix>_run2…``. With ``append`` the newest run's files are continued; lines from iterations that are run again
    are dropped from them, into a file of their own (``…_metrics_from_<start_iter>.jsonl``). Raises FileAccessError.
    """

    def __init__(self, prefix: str, append: bool = False, start_iter: int = 0) -> None:
        runs = _runs(prefix)
        newest = runs[-1] if append and runs else None
        self._prefix = newest or (f"{prefix}_run{_number(prefix, runs[-1]) + 1}" if runs else prefix)
        self.path = Path(f"{self._prefix}_metrics.jsonl")
        self.run = f"{datetime.now():%Y%m%d-%H%M%S}"
        self._begin = time.monotonic()
        self._start_iter = start_iter
        self._file: TextIO | None = None
        self._csv: dict[str, tuple[TextIO, Any]] = {}
        self._kept: list[dict[str, Any]] = []
        try:
            if newest:
                self._kept = [r for r in read(self.path) if r["iter"] < start_iter]
            elif not self.path.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        except OSError as error:
            raise self._refused(error) from None
        self._begin -= max((r["seconds"] for r in self._kept), default=0.0)
        self.run = next((r["run"] for r in self._kept if "run" in r), self.run)

    def _refused(self, error: OSError) -> FileAccessError:
        return FileAccessError(f"Metrics cannot be written: {error.strerror}", file=self.path)

    def _open(self) -> TextIO:
        """The file, with the rows that an earlier part of the run wrote."""
        try:
            if self.path.exists():
                dropped = [row for row in read(self.path) if row["iter"] >= self._start_iter]
                if dropped:
                    with _unused(f"{self._prefix}_metrics_from_{self._start_iter}", ".jsonl").open(
                        "x", encoding="utf-8"
                    ) as file:
                        file.writelines(json.dumps(row) + "\n" for row in dropped)
            with atomic.replacing(self.path) as path, path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in self._kept)
            for row in self._kept:
                self._write_csv(row)
            return self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._refused(error) from None

    def on_display(
        self, solver: Training, iteration: int, loss: float, rate: float, outputs: Outputs
    ) -> None:
        self._write(self._row("train", iteration, rate, outputs) | {"loss": loss})

    def on_test(self, solver: Training, net_id: int, iteration: int, outputs: Outputs) -> None:
        if outputs:
            self._write(self._row("test", iteration, solver.lr, outputs) | {"net": net_id})

    def on_end(self, solver: Training) -> None:
        if self._file is not None:
            self._file.close()
        for file, _ in self._csv.values():
            file.close()

    def _row(self, kind: str, iteration: int, rate: float, outputs: Outputs) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._begin, 6)
        row = {"run": self.run, "kind": kind, "iter": iteration, "seconds": seconds}
        return row | {"lr": rate, "outputs": outputs}

    def _write(self, row: dict[str, Any]) -> None:
        if self._file is None:
            self._file = self._open()
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        self._write_csv(row)

    def _write_csv(self, row: dict[str, Any]) -> None:
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

    def on_display(
        self, solver: Training, iteration: int, loss: float, rate: float, outputs: Outputs
    ) -> None:
        self._writer.add_scalar("train/smoothed_loss", loss, iteration)
        self._writer.add_scalar("train/lr", rate, iteration)
        for name, value in flat(outputs).items():
            self._writer.add_scalar(f"train/{name}", value, iteration)

    def on_test(self, solver: Training, net_id: int, iteration: int, outputs: Outputs) -> None:
        for name, value in flat(outputs).items():
            self._writer.add_scalar(f"test{net_id or ''}/{name}", value, iteration)

    def on_end(self, solver: Training) -> None:
        self._writer.close()


def _runs(prefix: str) -> list[str]:
    """The prefixes of the runs that have written metrics under ``prefix``, from the first to the newest."""
    folder, name = os.path.split(prefix)
    files = Path(folder or ".").glob(f"{glob.escape(name)}*_metrics.jsonl")
    prefixes = [os.path.join(folder, path.name.removesuffix("_metrics.jsonl")) for path in files]
    return sorted((p for p in prefixes if _number(prefix, p)), key=lambda p: _number(prefix, p))


def _number(prefix: str, run: str) -> int:
    """Which run of the prefix this is: 1, 2 …; 0 if it is none of them."""
    if run == prefix:
        return 1
    number = run.removeprefix(f"{prefix}_run")
    return int(number) if run.startswith(f"{prefix}_run") and number.isdecimal() else 0


def _unused(stem: str, ending: str) -> Path:
    """A path that does not exist yet."""
    names = (f"{stem}{ending}" if i == 1 else f"{stem}_{i}{ending}" for i in itertools.count(1))
    return next(path for path in map(Path, names) if not path.exists())


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; what is behind a line that is none (cut short by a crash) is left out."""
    rows = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict):
            break
        rows.append(row)
    return rows


def flat(outputs: Outputs) -> dict[str, float]:
    """Output → value; the values of an output with several are numbered."""
    by_name = {}
    for name, values in outputs.items():
        by_name.update({name if len(values) == 1 else f"{name}[{i}]": v for i, v in enumerate(values)})
    return by_name
