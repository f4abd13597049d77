"""What glibc does with freed memory: keeps it for the next forward pass, instead of asking the system for it anew.

Every blob is new memory in every forward. Large blocks come from mmap by default, page by page with a fault each,
and go back when they are freed: a tenth to a fifth of GoogLeNet's time.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_LARGEST = 2**31 - 1
_THEIRS = (
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
)
"""Where one of these is set, somebody has decided on the allocator already."""


@cache
def keep_freed_memory() -> bool:
    """Let the process keep what it frees from now on; whether that can be had (with glibc alone)."""
    libc = _glibc()
    if libc is None or any(name in os.environ for name in _THEIRS):
        return False
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST))


class ReturnsMemory:
    """Gives the system what is free when it goes: the last of a net's attributes, as they go in order."""

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():
            return
        libc = _glibc()
        if libc is not None and keep_freed_memory():
            libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
