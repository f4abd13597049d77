"""A run's folder: solver, nets, log, metrics and snapshots of one training together.

``runs/NAME`` has ``solver.prototxt`` (which trains the same again: its nets are the copies beside it and its snapshots
go there), ``run.json`` (how it was begun), ``train.log``, ``NAME_metrics.jsonl`` and ``NAME_iter_….caffemodel``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from caffe import logs
from caffe.errors import CaffeError, FileAccessError, InputError, MissingFileError
from caffe.proto import caffe_pb2
from caffe.solvers import setup

HOME = "runs"
SOLVER, STORY, LOG = "solver.prototxt", "run.json", "train.log"


def newest(name: str, home: str = HOME) -> Path | None:
    """The last folder of runs of this name, or None."""
    folders = {
        _number(path, name): path for path in _folder(name, home).parent.glob("*") if _number(path, name)
    }
    return folders[max(folders)] if folders else None


def begin(name: str, solver_file: str, home: str = HOME, **story: Any) -> Path:
    """Make the folder of a new run; one that exists keeps its files, and the next is called ``NAME_2``.

    ``story`` goes into ``run.json``. Raises InputError for a name that is none, MissingFileError, FileAccessError, and
    what reading a solver raises.
    """
    file, param = setup.read(solver_file)
    setup.check(param)
    folder = _folder(name, home)
    last = newest(name, home)
    if last is not None:
        folder = folder.with_name(f"{folder.name}_{_number(last, name) + 1}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise FileAccessError(f"The run's folder cannot be made: {error.strerror}", file=folder) from None
    try:
        _fill(beside, folder, param, file, story)
        os.chmod(beside, 0o755)  # a temporary folder is its owner's alone
        os.rename(beside, folder)
    except CaffeError:
        raise
    except OSError as error:
        raise FileAccessError(f"The run's folder cannot be made: {error.strerror}", file=folder) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _fill(
    beside: Path, folder: Path, param: caffe_pb2.SolverParameter, file: str | None, story: dict[str, Any]
) -> None:
    copies: dict[str, str] = {}

    def copy(source: str) -> str:
        if source not in copies:
            if not Path(source).is_file():
                raise MissingFileError("does not exist", file=source, fix=f"{file} names it as a net")
            names = [Path(kept).name for kept in copies.values()] + [SOLVER]
            target = Path(source).name
            target = target if target not in names else f"{len(copies) + 1}_{target}"
            shutil.copyfile(source, beside / target)
            copies[source] = str(folder / target)
        return copies[source]

    for field in ("net", "train_net"):
        if param.HasField(field):  # type: ignore[arg-type]
            setattr(param, field, copy(getattr(param, field)))
    for i, source in enumerate(param.test_net):
        param.test_net[i] = copy(source)
    param.snapshot_prefix = str(folder / folder.name)
    text = text_format.MessageToString(param)
    head = f"# Run '{folder.name}', from {file}\n"
    (beside / SOLVER).write_text(head + text, encoding="utf-8")
    told: dict[str, Any] = {
        "name": folder.name,
        "began": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        "solver": file,
    }
    told |= {"command": ["caffe", *sys.argv[1:]], "folder": os.getcwd(), **story}
    (beside / STORY).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


@contextmanager
def logging(solver_file: str | None) -> Iterator[None]:
    """Write log lines into the run's ``train.log``, too, where the solver stands in a run's folder."""
    folder = Path(solver_file).parent if solver_file else None
    if folder is None or Path(solver_file or "").name != SOLVER or not (folder / STORY).is_file():
        yield
        return
    with open(folder / LOG, "a", encoding="utf-8") as file:
        logs.add_file(file)
        try:
            yield
        finally:
            logs.remove_file(file)


def _folder(name: str, home: str) -> Path:
    """NAME in the folder of runs; a name with slashes is a path itself. Raises InputError."""
    last = os.path.basename(name)
    if not re.fullmatch(r"[\w.+=, -]+", last) or last.startswith("."):
        raise InputError(
            f"A run's name is made of letters, digits and . _ + = , -; got {name!r}", fix="--run=first_try"
        )
    return Path(name) if last != name else Path(home) / name


def _number(path: Path, name: str) -> int:
    """1 for NAME, N for NAME_N, 0 for other folders."""
    base = os.path.basename(name)
    match = re.fullmatch(re.escape(base) + r"(?:_(\d+))?", path.name)
    return int(match[1] or 1) if match and (path / STORY).is_file() else 0
