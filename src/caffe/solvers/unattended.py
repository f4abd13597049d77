"""For training that nobody watches: one run a prefix, room on the disk, and word of where it stands still."""

from __future__ import annotations

import faulthandler
import glob
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from caffe import logs, systems
from caffe.errors import SolverError
from caffe.solvers.averaging import ENDING
from caffe.solvers.callbacks import Callback, Outputs

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver

_ENDINGS = (".caffemodel", ".caffemodel.h5", ENDING, ".solverstate", ".solverstate.h5", ".trainstate")


@contextmanager
def alone(prefix: str) -> Iterator[None]:
    """Hold ``PREFIX.lock``, so that no second run writes snapshots of this prefix.

    The system lets go of it when the process ends, however it ends. Half-written files that a killed run of this
    prefix left are taken away. Raises SolverError where another run holds it.
    """
    path = f"{prefix}.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:  # nothing can be written there: the snapshots say so
        yield
        return
    try:
        systems.lock(handle)
        if not os.path.exists(path) or not os.path.samestat(os.stat(path), os.fstat(handle)):
            raise BlockingIOError  # it was another run's, which ended just now
    except BlockingIOError:
        holder = os.read(handle, 100).decode(errors="replace").strip()
        os.close(handle)
        raise SolverError(
            f"Another run trains with the prefix '{prefix}' ({holder or 'no word of which'})",
            field="snapshot_prefix",
            fix="Wait for it, end it, or choose another snapshot_prefix",
        ) from None
    except OSError as error:  # file systems without locks
        logs.warning(f"{path} cannot be locked ({error.strerror}): see that no second run has this prefix")
    else:
        for part in Path(prefix).parent.glob(f".{glob.escape(Path(prefix).name)}_iter_*.tmp"):
            with suppress(OSError):
                part.unlink()
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
    try:
        yield
    finally:
        with suppress(OSError):  # Windows takes no open file away; there the next run finds an unlocked one
            os.unlink(path)
        os.close(handle)


class KeepSnapshots(Callback):
    """Deletes the prefix's oldest snapshots of up to now, so that ``count`` stay. Raises SolverError."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise SolverError(f"At least 1 snapshot must be kept; got {count}")
        self.count = count

    def on_snapshot(self, solver: Solver, model: Path, state: Path) -> None:
        prefix = Path(solver.param.snapshot_prefix)
        pattern = re.compile(re.escape(prefix.name) + r"_iter_(\d+)(\.\w+(?:\.\w+)?)")
        by_iteration: dict[int, list[Path]] = {}
        for path in prefix.parent.iterdir():
            match = pattern.fullmatch(path.name)
            if match and match[2] in _ENDINGS and int(match[1]) <= solver.iter:
                by_iteration.setdefault(int(match[1]), []).append(path)
        for iteration in sorted(by_iteration)[: -self.count]:
            # the state first: without it the rest is no complete snapshot
            for path in sorted(by_iteration[iteration], key=lambda p: ".solverstate" not in p.name):
                try:
                    path.unlink()
                except OSError as error:
                    logs.warning(f"The old snapshot {path} stays: {error.strerror}")


class Watchdog(Callback):
    """Writes where every thread is, on standard error, when nothing has gone on for so many seconds; then again."""

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise SolverError(f"The watchdog must wait more than 0 seconds; got {seconds:g}")
        self.seconds = seconds
        self._set = 0.0

    def on_start(self, solver: Solver) -> None:
        now = time.monotonic()
        if now - self._set > min(1.0, self.seconds / 10):  # setting it starts a thread
            self._set = now
            faulthandler.dump_traceback_later(self.seconds, repeat=True, file=sys.__stderr__ or sys.stderr)

    def on_test(self, solver: Solver, net_id: int, iteration: int, outputs: Outputs) -> None:
        self.on_start(solver)

    def on_snapshot(self, solver: Solver, model: Path, state: Path) -> None:
        self.on_start(solver)

    def on_end(self, solver: Solver) -> None:
        faulthandler.cancel_dump_traceback_later()
