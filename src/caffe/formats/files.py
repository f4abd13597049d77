"""Files as they come: opened without waiting for anybody, read into memory of our own, never mapped.

A mapped file that somebody cuts short ends the process when it is read on; here it is an error.
"""

from __future__ import annotations

import os
import select
import stat
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import limits
from caffe.errors import CaffeError, FileAccessError, MissingFileError
from caffe.formats.wire import Source, WireError

Array = npt.NDArray[Any]

_WINDOW = 1 << 16
_ALIGNMENT = 64  # what torch's own memory has; kernels of some libraries are faster with it
_PATIENCE = 10.0


def opened(path: str | os.PathLike[str], kind: type[CaffeError] = FileAccessError) -> int:
    """A regular file's handle, for reading.

    Raises MissingFileError, FileAccessError; ``kind`` for a pipe, a device or a socket, which might never end.
    """
    handle, mode = _handle(path)
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise kind(f"must be a regular file; got {_what(mode)}", file=path)
    return handle


def _handle(path: str | os.PathLike[str]) -> tuple[int, int]:
    name = os.fspath(path)
    try:
        handle = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise MissingFileError("does not exist", file=name) from error
    except (OSError, ValueError) as error:
        raise FileAccessError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", file=_shown(name)
        ) from error
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode):
        os.close(handle)
        raise FileAccessError("cannot be read: Is a directory", file=name)
    return handle, mode


def _shown(name: str) -> str:
    """A name for messages: not longer than a line, nothing in it that a terminal would obey."""
    text = name if name.isprintable() else repr(name)[1:-1]
    return text if len(text) <= 300 else f"{text[:200]}… ({len(name):,} characters)"


def _what(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def read_bytes(
    path: str | os.PathLike[str], most: int | None = None, *, kind: type[CaffeError] = FileAccessError
) -> bytes:
    """The bytes of a regular file, at most ``most`` (or what memory there is).

    Raises MissingFileError, FileAccessError, and ``kind`` for a file that is larger, a pipe or a device.
    """
    handle = opened(path, kind)
    with open(handle, "rb", buffering=0) as file:
        size = os.fstat(handle).st_size
        limit = limits.memory() if most is None else most
        if size > limit:
            raise kind(f"must have at most {limit:,} bytes; got {size:,}", file=path)
        try:
            return file.readall()
        except OSError as error:
            raise FileAccessError(f"cannot be read: {error.strerror or error}", file=path) from error


def read_text_bytes(
    path: str | os.PathLike[str], *, kind: type[CaffeError], most: int = limits.LARGEST_TEXT
) -> bytes:
    """The bytes of a text file, which may be a pipe (``/dev/stdin``, ``<(…)``) that somebody writes to.

    Raises as :func:`read_bytes`, and FileAccessError where a pipe stays silent for ten seconds.
    """
    handle, mode = _handle(path)
    try:
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise kind(f"must be a text file; got {_what(mode)}", file=path)
        parts: list[bytes] = []
        total = 0
        while True:
            try:
                piece = os.read(handle, 1 << 20)
            except BlockingIOError:
                if not select.select([handle], [], [], _PATIENCE)[0]:
                    raise FileAccessError(
                        f"is a pipe that nobody wrote to for {_PATIENCE:.0f} seconds", file=path
                    ) from None
                continue
            except OSError as error:
                raise FileAccessError(f"cannot be read: {error.strerror or error}", file=path) from error
            if not piece:
                return b"".join(parts)
            parts.append(piece)
            total += len(piece)
            if total > most:
                raise kind(f"must have at most {most:,} bytes; got more", file=path)
    finally:
        os.close(handle)


class FileSource(Source):
    """The bytes of a file: a window for its structure, whole arrays straight into memory of their own."""

    def __init__(self, path: str | os.PathLike[str], kind: type[CaffeError]) -> None:
        self.budget = limits.Budget()
        self._handle = opened(path, kind)
        self._size = os.fstat(self._handle).st_size
        self._start = self._end = 0
        self._window = b""

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._handle)

    def __len__(self) -> int:
        return self._size

    def byte(self, at: int) -> int:
        if not self._start <= at < self._end:
            self._window = self._read(at, min(_WINDOW, self._size - at))
            self._start, self._end = at, at + len(self._window)
        return self._window[at - self._start]

    def slice(self, first: int, last: int) -> bytes:
        if self._start <= first and last <= self._end:
            return self._window[first - self._start : last - self._start]
        limits.check_memory(last - first, "a field")
        return self._read(first, last - first)

    def array(self, first: int, last: int, dtype: str) -> Array:
        kind = np.dtype(dtype)
        size = last - first
        limits.check_memory(size, "an array")
        room = np.empty(size + _ALIGNMENT, np.uint8)
        skip = -room.ctypes.data % _ALIGNMENT
        values = room[skip : skip + size]
        self._read_into(values.data, first)
        return values.view(kind)

    def _read(self, at: int, size: int) -> bytes:
        content = bytearray(size)
        self._read_into(memoryview(content), at)
        return bytes(content)

    def _read_into(self, target: memoryview, at: int) -> None:
        """Fill ``target`` from a place on; the system reads at most 2 GB at once."""
        done = 0
        while done < len(target):
            count = (
                os.preadv(self._handle, [target[done:]], at + done)
                if _VECTORS
                else self._seek_read(target[done:], at + done)
            )
            if not count:
                raise WireError("must go on; the file was cut short while it was read", at + done)
            done += count

    def _seek_read(self, target: memoryview, at: int) -> int:
        os.lseek(self._handle, at, os.SEEK_SET)
        piece = os.read(self._handle, min(len(target), 1 << 24))
        target[: len(piece)] = piece
        return len(piece)


_VECTORS = hasattr(os, "preadv")
