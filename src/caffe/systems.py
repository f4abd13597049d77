"""What differs between Linux, macOS and Windows, in one place."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path
from typing import Any

WINDOWS = os.name == "nt"

CONTROL_GROUPS = Path("/sys/fs/cgroup")

_FAR = 1 << 30
"""Where Windows locks a byte: nobody may read a locked one, and what is written at the front is to be read."""
_SYNCHRONIZE, _ACCESS_DENIED, _TIMED_OUT = 0x00100000, 5, 258


def lock(handle: int) -> None:
    """Lock an open file for this process, until it is closed.

    Raises BlockingIOError where another process has it, OSError where the file system knows no locks.
    """
    if WINDOWS:
        import msvcrt

        windows: Any = msvcrt
        place = os.lseek(handle, 0, os.SEEK_CUR)
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            windows.locking(handle, windows.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
        finally:
            os.lseek(handle, place, os.SEEK_SET)
        return
    import fcntl

    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lives(pid: int) -> bool:
    """Whether a process of this machine runs; one that has ended but is not fetched by its parent yet does not."""
    if WINDOWS:  # there os.kill(pid, 0) is a Ctrl-C
        return _lives_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):  # no /proc: macOS
        return True


def _lives_on_windows(pid: int) -> bool:
    import ctypes

    kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    process = kernel.OpenProcess(_SYNCHRONIZE, False, pid)
    if not process:  # another user's may not be opened
        return bool(ctypes.get_last_error() == _ACCESS_DENIED)  # type: ignore[attr-defined,unused-ignore]
    try:
        return bool(kernel.WaitForSingleObject(process, 0) == _TIMED_OUT)
    finally:
        kernel.CloseHandle(process)


def processors() -> int:
    """How many processors this process may use: by its affinity and, in a container, by its quota of time."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def _quota() -> float | None:
    """Processors' worth of time that the container gives (Linux's control groups, of version 2 or 1)."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((CONTROL_GROUPS / name).read_text(encoding="ascii") for name in names).split()
            time, period = (float(word) for word in words)
        except (OSError, ValueError):  # no such files, or "max"
            continue
        if time > 0 and period > 0:
            return time / period
    return None


def time_on_processors() -> tuple[float, float] | None:
    """Seconds that the calling thread has run, and seconds that it waited for a processor, ready to run.

    None where the system does not say: Linux alone does.
    """
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            ran, waited = file.read().split()[:2]
    except (OSError, ValueError):
        return None
    return int(ran) / 1e9, int(waited) / 1e9


def own_signals() -> dict[str, Any]:
    """What makes ``subprocess.Popen`` start a process that a terminal's Ctrl-C does not reach.

    On Windows nothing: there a process of another group could not be sent any Ctrl-C at all.
    """
    return {} if WINDOWS else {"start_new_session": True}


def send(process: subprocess.Popen[bytes], number: int) -> None:
    """Hand a signal that came here on to a process started with ``own_signals``.

    On Windows Ctrl-C has reached it already, and any other signal can only end it.
    """
    import signal

    if process.poll() is not None:
        return
    if not WINDOWS:
        process.send_signal(number)
    elif number != signal.SIGINT:
        process.terminate()
