"""Log lines in the form of the original's (glog), on standard error.

``I1125 20:19:03.999845  3348 solver.py:239] Optimization Done.``: level, month and day, time, process, place,
message; no year, as scripts that parse Caffe's logs expect. ``GLOG_minloglevel`` (0 info, 1 warning, 2 error,
3 fatal) and ``GLOG_v`` (verbosity) hold.
Further listeners (progress bar, metrics) take messages through :func:`redirect`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TextIO

INFO, WARNING, ERROR, FATAL = 0, 1, 2, 3
_LETTERS = "IWEF"


class _State:
    def __init__(self) -> None:
        self.files: list[TextIO] = []
        self.write: Callable[[str], None] | None = None


_state = _State()


def init_log(level: int | None = None, use_stderr: bool = True) -> None:
    """Set the lowest level that is printed, and start logging, as pycaffe's ``init_log``."""
    if level is not None:
        os.environ["GLOG_minloglevel"] = str(int(level))


def minimum_level() -> int:
    """The lowest level that is printed."""
    try:
        return int(os.environ.get("GLOG_minloglevel", "0") or 0)
    except ValueError:
        return 0


def verbosity() -> int:
    """``GLOG_v``: 1 and more also print the net's construction, layer by layer."""
    try:
        return int(os.environ.get("GLOG_v", "0") or 0)
    except ValueError:
        return 0


def line(message: str, level: int = INFO, depth: int = 2) -> str:
    """One line as glog writes it; ``depth`` says whose file and line it names."""
    frame = sys._getframe(depth)
    place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
    return f"{_LETTERS[level]}{datetime.now():%m%d %H:%M:%S.%f} {os.getpid():5d} {place}] {message}"


def log(message: str, level: int = INFO, depth: int = 2) -> None:
    """Write one line at a level (pycaffe's ``caffe.log``), if the level is printed."""
    if level < minimum_level():
        return
    text = line(str(message), level, depth)
    for file in _state.files:
        file.write(text + "\n")
        file.flush()
    if _state.write is not None:
        _state.write(text)
    else:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def info(message: str) -> None:
    """Log at level INFO."""
    log(message, INFO, 3)


def warning(message: str) -> None:
    """Log at level WARNING."""
    log(message, WARNING, 3)


def error(message: str) -> None:
    """Log at level ERROR."""
    log(message, ERROR, 3)


def verbose(message: str) -> None:
    """Log at level INFO where ``GLOG_v`` is 1 or more."""
    if verbosity() >= 1:
        log(message, INFO, 3)


def redirect(write: Callable[[str], None] | None) -> None:
    """Send lines to ``write`` (above a progress bar, say) instead of standard error; None undoes it."""
    _state.write = write


def add_file(file: TextIO) -> None:
    """Write every line to ``file`` too."""
    _state.files.append(file)


def remove_file(file: TextIO) -> None:
    """Stop writing to ``file``."""
    _state.files.remove(file)
