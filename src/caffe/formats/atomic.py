"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from caffe import systems
from caffe.errors import FileAccessError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path``; what is written there takes ``path``'s place at the end.

    On failure the old file stays as it was and nothing is left behind. Raises FileAccessError if the
    folder cannot be written to.
    """
    path = os.fspath(path)
    folder, name = os.path.split(os.path.abspath(path))
    try:
        handle, made = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".tmp", dir=folder)
        os.close(handle)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise _refused(path, error) from error
    temporary = Path(made)
    try:
        yield temporary
        _flush(temporary)
        os.chmod(temporary, _mode_of(path))
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, FileAccessError):
            raise _refused(path, error) from error
        raise
    with contextlib.suppress(OSError):
        _flush(folder)


def _mode_of(path: str) -> int:
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _flush(path: str | Path) -> None:
    """Have the system write it to the disk. Windows wants a file open for writing, and opens no folders."""
    folder = os.path.isdir(path)
    if folder and systems.WINDOWS:
        return
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(path: str, error: OSError | ValueError) -> FileAccessError:
    return FileAccessError(
        f"cannot be written: {getattr(error, 'strerror', None) or error}",
        file=path,
        fix="Give a path in a folder that exists and may be written to, with space left.",
    )
