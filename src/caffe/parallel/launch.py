"""Starting workers on this machine, one process each, and seeing them to their end.

A worker never outlives its parent: its standard input is a pipe whose other end closes with the parent, however
that ends. (A standard stream is what every system hands on to a process alike.)
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from caffe import logs, systems
from caffe.errors import DistributedError
from caffe.parallel.place import MEETING

_ENDS_WITH_PARENT = "CAFFE_WORKER_ENDS_WITH_STDIN"
_FORWARDED = ("SIGINT", "SIGHUP", "SIGTERM")
_GRACE = 60.0
"""Seconds that workers get to end by themselves (the root writes a snapshot) once one has failed."""


def run(arguments: Sequence[str], count: int) -> int:
    """Run ``python -m caffe <arguments>`` as ``count`` workers; returns 0 when all have ended well.

    Raises DistributedError naming the worker that failed first; the others have ended by then.
    """
    folder = Path(tempfile.mkdtemp(prefix="caffe-workers-"))
    reading, writing = os.pipe()
    workers: list[subprocess.Popen[bytes]] = []
    try:
        with _forwarding(workers):
            for rank in range(count):
                environment = os.environ | {
                    MEETING: meeting(folder),
                    "RANK": str(rank),
                    "WORLD_SIZE": str(count),
                    "LOCAL_RANK": str(rank),
                    "LOCAL_WORLD_SIZE": str(count),
                    _ENDS_WITH_PARENT: "1",
                }
                environment.setdefault("OMP_NUM_THREADS", str(max(1, systems.processors() // count)))
                workers.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "caffe", *arguments],
                        env=environment,
                        stdin=reading,
                        **systems.own_signals(),  # a terminal's Ctrl-C comes once, from here
                    )
                )
            return _see_to_the_end(workers)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        os.close(reading)
        os.close(writing)
        shutil.rmtree(folder, ignore_errors=True)


def meeting(folder: Path) -> str:
    """The address of the file that workers of this machine meet at, as torch.distributed reads it."""
    file = folder / "meeting"
    # torch takes percent signs back on Windows only
    return file.as_uri() if systems.WINDOWS else f"file://{file}"


def _see_to_the_end(workers: list[subprocess.Popen[bytes]]) -> int:
    failed: tuple[int, int] | None = None
    deadline = 0.0
    while True:
        codes = [worker.poll() for worker in workers]
        now = time.monotonic()
        if failed is None:
            failed = next(((rank, code) for rank, code in enumerate(codes) if code), None)
            deadline = now + _GRACE
        if None not in codes:
            break
        if failed is not None and now > deadline:
            logs.error(f"Ending {codes.count(None)} worker(s) that did not end by themselves")
            return_at = now + 5
            for worker in workers:
                worker.terminate()
            while time.monotonic() < return_at and any(w.poll() is None for w in workers):
                time.sleep(0.05)
            break
        time.sleep(0.05)
    if failed is None:
        return 0
    rank, code = failed
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
    raise DistributedError(
        f"Worker {rank} of {len(workers)} (process {workers[rank].pid}) {how}",
        fix="Its message is above; go on from the last snapshot with --resume=auto",
    )


@contextmanager
def _forwarding(workers: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Hand signals on to the workers, which know what to do with them."""

    def forward(number: int, frame: FrameType | None) -> None:
        for worker in workers:
            systems.send(worker, number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_the_parent() -> None:
    """In a worker: end when the process that started it has ended. Does nothing elsewhere."""
    if not os.environ.pop(_ENDS_WITH_PARENT, ""):
        return

    def watch() -> None:
        try:
            while os.read(0, 1):
                pass
        except OSError:
            return
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name="caffe-parent", daemon=True).start()
