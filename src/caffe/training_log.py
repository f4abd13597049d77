"""Logs of training runs as tables: the original's, ours (the same words), and ``metrics.jsonl``.

A table is a list of rows; a row is a dict with ``NumIters``, ``Seconds``, ``LearningRate`` and one entry for each
output of the net, as in the original's ``parse_log.py``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from caffe import limits
from caffe.errors import DataError, MissingFileError
from caffe.formats import files
from caffe.solvers.callbacks import lower_is_better

Row = dict[str, float]
COLUMNS = ("NumIters", "Seconds", "LearningRate")
"""What every row has; all else are outputs of the net."""

_STAMP = re.compile(r"^[IWEF](\d{4})?(\d{2})(\d{2}) (\d{2}):(\d{2}):(\d{2})(\.\d+)?")
_ITERATION = re.compile(r"Iteration (\d+)")
_RATE = re.compile(r"Iteration (\d+), lr = ([-+.\deE]+|nan|inf)")
_SMOOTHED = re.compile(r"Iteration (\d+)(?: \(.*\))?, loss = ([-+.\deE]+|nan|-?inf)")
_OUTPUT = re.compile(r"(Train|Test) net output #(\d+): (\S+) = ([-+.\deE]+|nan|-?inf)")
_TESTING = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")


@dataclass
class TrainingLog:
    """The rows of a run: of training, and of each test net."""

    train: list[Row] = field(default_factory=list)
    test: list[Row] = field(default_factory=list)
    other_tests: dict[int, list[Row]] = field(default_factory=dict)


def read(path: str | os.PathLike[str]) -> TrainingLog:
    """Read a log of any of the three kinds. Raises MissingFileError; DataError where no training is in it."""
    path = Path(path)
    try:
        data = files.read_text_bytes(path, kind=DataError, most=limits.memory() // 8)
    except MissingFileError:
        raise MissingFileError("There is no such log", file=path) from None
    text = data.decode("utf-8", "replace")
    with limits.guarding(DataError, path):
        log = _from_metrics(text) if text.lstrip().startswith("{") else _from_lines(text)
    if not log.train and not log.test:
        raise DataError(
            "No iterations or tests were found",
            file=path,
            fix="Give the standard error of `caffe train`, or the metrics.jsonl beside its snapshots",
        )
    return log


def outputs(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The outputs that rows tell of, in their order."""
    return [name for name in dict.fromkeys(name for row in rows for name in row) if name not in COLUMNS]


def best(rows: Sequence[Mapping[str, Any]], output: str) -> Mapping[str, Any] | None:
    """The first row with the best value of an output; None where no row has a finite one."""
    finite = [row for row in rows if row.get(output) is not None and math.isfinite(row[output])]
    choose = min if lower_is_better(output) else max
    return choose(finite, key=lambda row: row[output]) if finite else None


def join(pieces: Sequence[TrainingLog]) -> TrainingLog:
    """Logs of one run, in their order, as one: what a later piece ran again counts; its time comes on top."""
    whole = TrainingLog()
    for piece in pieces:
        tables = [piece.train, piece.test, *piece.other_tests.values()]
        first = min((row["NumIters"] for rows in tables for row in rows), default=0.0)
        before = [whole.train, whole.test, *whole.other_tests.values()]
        spent = max((r["Seconds"] for rows in before for r in rows if r["NumIters"] < first), default=0.0)
        nets = {**dict.fromkeys(whole.other_tests), **dict.fromkeys(piece.other_tests)}
        pairs = [(whole.train, piece.train), (whole.test, piece.test)]
        pairs += [(whole.other_tests.setdefault(n, []), piece.other_tests.get(n, [])) for n in nets]
        for rows, more in pairs:
            rows[:] = [row for row in rows if row["NumIters"] < first]
            rows += [row | {"Seconds": row["Seconds"] + spent} for row in more]
    return whole


def _from_metrics(text: str) -> TrainingLog:
    log = TrainingLog()
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut short by a crash
        try:
            row: Row = {"NumIters": entry["iter"], "Seconds": entry["seconds"], "LearningRate": entry["lr"]}
            for name, values in entry["outputs"].items():
                row.update({name if len(values) == 1 else f"{name}[{i}]": v for i, v in enumerate(values)})
            is_training, net = entry["kind"] == "train", entry.get("net", 0)
            if is_training:
                row.setdefault("loss", entry["loss"])
        except (KeyError, TypeError, AttributeError) as error:
            says = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"This line is no row of a training's metrics: {says}",
                line=number,
                fix="Give the metrics.jsonl that caffe train writes beside its snapshots, or a log",
            ) from None
        rows = log.train if is_training else log.test if net == 0 else log.other_tests.setdefault(net, [])
        rows.append(row)
    return log


class _Reader:
    """The state of going through a log's lines."""

    def __init__(self) -> None:
        self.found = TrainingLog()
        self.iteration = 0.0
        self.net = 0
        self.rate = float("nan")
        self.begin: datetime | None = None
        self.last: datetime | None = None
        self.year = datetime.now().year
        self.counts: dict[tuple[int, str], int] = {}

    def seconds(self, line: str) -> float:
        match = _STAMP.match(line)
        if match:
            year, month, day, hour, minute, second, fraction = match.groups()
            stamp = datetime(
                int(year or self.year), int(month), int(day), int(hour), int(minute), int(second)
            ) + timedelta(seconds=float(fraction or 0))
            if self.last is not None and stamp < self.last - timedelta(days=1):
                stamp = stamp.replace(year=stamp.year + 1)  # a log without years that runs over New Year
            self.last = stamp
            if self.begin is None:
                self.begin = stamp
        if self.begin is None or self.last is None:
            return 0.0
        return (self.last - self.begin).total_seconds()

    def row(self, rows: list[Row], seconds: float) -> Row:
        if not rows or rows[-1]["NumIters"] != self.iteration:
            rows.append({"NumIters": self.iteration, "Seconds": seconds, "LearningRate": self.rate})
        return rows[-1]


def _from_lines(text: str) -> TrainingLog:
    reader = _Reader()
    log = reader.found
    for line in text.splitlines():
        if "] Solving " in line and reader.begin is None:
            reader.seconds(line)
            continue
        iteration = _ITERATION.search(line)
        seconds = reader.seconds(line) if iteration or "net output" in line else 0.0
        if iteration:
            reader.iteration = float(iteration[1])
        testing = _TESTING.search(line)
        if testing:
            reader.net = int(testing[2])
        rate = _RATE.search(line)
        if rate:
            reader.rate = float(rate[2])
            for rows in (log.train, log.test):
                for row in rows[-1:]:
                    if row["NumIters"] == reader.iteration:
                        row["LearningRate"] = reader.rate
            continue
        smoothed = _SMOOTHED.search(line)
        if smoothed and "lr =" not in line:
            reader.row(log.train, seconds).setdefault("loss", float(smoothed[2]))
            continue
        output = _OUTPUT.search(line)
        if output:
            kind, _, name, value = output.groups()
            rows = log.train
            if kind == "Test":
                rows = log.test if reader.net == 0 else log.other_tests.setdefault(reader.net, [])
            reader.row(rows, seconds)[name] = float(value)
    return log
