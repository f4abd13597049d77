"""Training runs as a page shows them: curves, hyperparameters, snapshots with their scores, layers that learn."""

from __future__ import annotations

import contextlib
import glob
import json
import math
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from caffe import training_log
from caffe.errors import CaffeError, DataError, MissingFileError
from caffe.formats import prototxt
from caffe.solvers import learning, run_folder

Json = dict[str, Any]
_ITERATION = re.compile(r"_iter_(\d+)\.caffemodel(\.h5)?$")
_HEAD = 1 << 16
_LOOK_SECONDS = 5.0
_SHOWN = 4000
"""Points of a curve; longer ones are thinned for the page."""


@dataclass
class Run:
    """The files of one run."""

    name: str
    log: Path
    prefix: str = ""
    """What its snapshots' names begin with, where that is known."""


@dataclass
class RunsDocument:
    """Runs that are drawn together."""

    title: str
    runs: list[Run]
    paths: Sequence[str] = ()
    """Where runs that begin later are looked for."""
    wait: bool = False
    _looked: float = 0.0
    _cache: dict[Path, tuple[tuple[int, int], Json]] = field(default_factory=dict)

    @classmethod
    def of_paths(cls, paths: Sequence[str], title: str = "", wait: bool = False) -> RunsDocument:
        """The runs in files and folders. Raises MissingFileError, DataError where there are none to show."""
        document = cls(title, [], paths, wait)
        document._look()
        runs = document.runs
        document.title = title or (
            runs[0].name if len(runs) == 1 else f"{len(runs)} runs" if runs else "runs"
        )
        return document

    def _look(self) -> None:
        """Find the runs, those that began since, too."""
        runs: list[Run] = []
        for path in self.paths:
            try:
                runs += find(Path(path))
            except (MissingFileError, DataError):
                if not self.wait:
                    raise
        names = [run.name for run in runs]
        for run in runs:
            if names.count(run.name) > 1:
                run.name = f"{run.log.parent.name}/{run.name}"
        self.runs = runs
        self._looked = time.monotonic()

    def json(self) -> Json:
        if self.paths and time.monotonic() - self._looked > _LOOK_SECONDS:
            with contextlib.suppress(CaffeError):  # what went away is told by reading it
                self._look()
        return {"kind": "runs", "title": self.title, "runs": [self._read(run) for run in self.runs]}

    def snapshot(self, name: str) -> Path | None:
        """The snapshot of one of the runs with this file name."""
        for run in self.runs:
            for path in _snapshots(run):
                if path.name == name:
                    return path
        return None

    def _read(self, run: Run) -> Json:
        try:
            status = run.log.stat()
            key = (status.st_mtime_ns, status.st_size)
            if self._cache.get(run.log, (None,))[0] != key:
                self._cache[run.log] = (key, read(run))
            found = dict(self._cache[run.log][1])
        except (CaffeError, OSError) as error:
            return {"name": run.name, "error": str(error), "train": [], "test": []}
        layers = layer_states(run)
        found["settings"] = found["settings"] or layers.pop("settings", {})
        found["layers"] = layers.get("layers", [])
        found["filters"] = layers.get("filters", [])
        found["snapshots"] = [_scored(path, found["test"]) for path in _snapshots(run)]
        return found


def find(path: Path) -> list[Run]:
    """The runs of a log, of a metrics file, of a snapshot prefix, or in a folder."""
    if path.is_dir():
        logs = sorted(path.rglob("*_metrics.jsonl"))
        told = {p.parent / run_folder.LOG for p in logs if (p.parent / run_folder.STORY).is_file()}
        others = [p for p in sorted(path.rglob("*")) if p.suffix != ".jsonl" and p not in told]
        logs += [p for p in others if looks_like_log(p)]
        if not logs:
            raise DataError("There is no metrics.jsonl and no training log in this folder", file=path)
        return [_run(p) for p in logs]
    if path.is_file():
        return [_run(path)]
    ours = re.compile(re.escape(path.name) + r"(_run\d+)?_metrics\.jsonl")
    logs = sorted(p for p in path.parent.glob("*_metrics.jsonl") if ours.fullmatch(p.name))
    if not logs:
        raise MissingFileError(
            "does not exist", file=path, fix="Name a metrics.jsonl, a log, a folder or a snapshot prefix"
        )
    return [_run(p) for p in logs]


def _run(log: Path) -> Run:
    name = log.name.removesuffix("_metrics.jsonl")
    if name != log.name:
        return Run(name, log, str(log.parent / name))
    return Run(log.stem if log.suffix in (".log", ".txt", ".jsonl") else log.name, log, "")


def looks_like_log(path: Path) -> bool:
    """Whether a file is a training's log, by its first lines."""
    if not path.is_file() or path.suffix in (".caffemodel", ".h5", ".solverstate", ".mdb", ".csv"):
        return False
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    return (
        b"\0" not in head and re.search(rb"\] (Iteration \d+|Solving |Initializing solver)", head) is not None
    )


def read(run: Run) -> Json:
    """A run's tables and settings. Raises as :func:`training_log.read`."""
    log = training_log.read(run.log)
    tests = {0: log.test, **log.other_tests}
    return {
        "name": run.name,
        "train": _thinned(log.train),
        "test": _thinned(log.test),
        "other_tests": {str(n): _thinned(rows) for n, rows in tests.items() if n},
        "speed": _speed(log.train),
        "settings": _settings_in_log(run.log),
        "last": max((row["NumIters"] for row in [*log.train, *log.test]), default=0),
    }


def _thinned(rows: Sequence[dict[str, float]]) -> list[Json]:
    step = max(1, -(-len(rows) // _SHOWN))
    kept = [row for i, row in enumerate(rows) if i % step == 0 or i == len(rows) - 1]
    return [{k: v if math.isfinite(v) else None for k, v in row.items()} for row in kept]


def _speed(rows: Sequence[dict[str, float]]) -> float | None:
    """Iterations a second over the latest tenth."""
    recent = rows[-max(2, len(rows) // 10) :]
    if len(recent) < 2:
        return None
    seconds = recent[-1]["Seconds"] - recent[0]["Seconds"]
    return (recent[-1]["NumIters"] - recent[0]["NumIters"]) / seconds if seconds > 0 else None


def _settings_in_log(path: Path) -> Json:
    """The solver's definition that a log begins with."""
    solver = path.with_name(run_folder.SOLVER)
    if solver.is_file() and path.with_name(run_folder.STORY).is_file():
        return settings(solver.read_text(encoding="utf-8", errors="replace"))
    with open(path, encoding="utf-8", errors="replace") as file:
        head = file.read(_HEAD)
    start = head.find("Initializing solver from parameters:")
    if start < 0:
        return {}
    lines = []
    for line in head[start:].splitlines()[1:]:
        if re.match(r"^[IWEF]\d{4}", line):
            break
        lines.append(line)
    return settings("\n".join(lines))


def settings(text: str) -> Json:
    """A solver's definition as a table: field → value."""
    try:
        param = prototxt.parse_solver(text, permissive=True)
    except CaffeError:
        return {}
    table: Json = {}
    for descriptor, value in param.ListFields():
        if descriptor.name in ("net_param", "train_net_param", "test_net_param", "train_state", "test_state"):
            continue
        enum = descriptor.enum_type
        if enum is not None and isinstance(value, int):
            table[descriptor.name] = enum.values_by_number[value].name
        elif isinstance(value, (str, int, float)):
            table[descriptor.name] = float(f"{value:.7g}") if isinstance(value, float) else value
        else:
            table[descriptor.name] = ", ".join(str(v) for v in value)
    return table


def _snapshots(run: Run) -> list[Path]:
    if not run.prefix:
        return []
    folder, name = os.path.split(re.sub(r"_run\d+$", "", run.prefix))
    snapshots = [
        p for p in Path(folder or ".").glob(f"{glob.escape(name)}_iter_*") if _ITERATION.search(p.name)
    ]
    began = sorted(_began(other.log) for other in find(Path(folder or ".") / name)) if snapshots else []
    mine = _began(run.log)
    after = min((time_ for time_ in began if time_ > mine), default=math.inf)
    snapshots = [p for p in snapshots if mine <= p.stat().st_mtime < after or len(began) < 2]
    return sorted(snapshots, key=lambda p: int(_ITERATION.search(p.name)[1]))  # type: ignore[index]


def _began(log: Path) -> float:
    """When a run began, as its rows say; 0 where they do not."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            return datetime.strptime(json.loads(file.readline())["run"], "%Y%m%d-%H%M%S").timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _scored(path: Path, tests: Sequence[Json]) -> Json:
    match = _ITERATION.search(path.name)
    iteration = int(match[1]) if match else 0
    scores = next((row for row in tests if row["NumIters"] == iteration), {})
    shown = {name: scores[name] for name in training_log.outputs([scores])}
    return {"file": path.name, "iter": iteration, "bytes": path.stat().st_size, "scores": shown}


def layer_states(run: Run) -> Json:
    """What ``caffe train --watch`` wrote beside the metrics: the solver's settings, rows of layers, filters."""
    states: Json = {"layers": [], "filters": []}
    path = Path(run.prefix + learning.NAME)
    if not run.prefix or not path.is_file():
        return states
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break  # being written
        if row.get("kind") == "solver":
            states["settings"] = settings(row["text"])
        elif row.get("kind") == "layers":
            states["layers"].append(row)
        elif row.get("kind") == "filters":
            states["filters"].append(row)
    states["filters"] = states["filters"][-12:]
    states["layers"] = states["layers"][-_SHOWN:]
    return states
