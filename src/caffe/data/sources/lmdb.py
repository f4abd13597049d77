"""LMDB, read and written by py-lmdb.

An environment may be open only once in a process, so readers of one path share it. Reading takes a place in
the reader table where the folder is writable, so that a process that writes at the same time leaves our
pages alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from caffe import logs
from caffe.data.sources.database import Item
from caffe.errors import CorruptDataError, DataError, FileAccessError

_COMMIT_EVERY = 1000
_FIRST_MAP_SIZE = 1 << 26
_LARGEST_COPY = 1 << 30


class _Shared:
    """An open environment and how many use it."""

    def __init__(self, env: Any, file: tuple[int, int]) -> None:
        self.env = env
        self.file = file
        self.users = 0
        self.pid = os.getpid()


_environments: dict[str, _Shared] = {}
_guard = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_guard.release)


def _acquire(path: str) -> _Shared:
    place = os.path.realpath(path)
    with _guard:
        shared = _environments.get(place)
        if shared is not None and shared.pid != os.getpid():
            # made by the parent process: its lock and reader table are not ours
            shared.env.close()
            shared = None
        if shared is not None and shared.file != _identity(path):
            shared = None  # another database took its place meanwhile
        if shared is None:
            shared = _environments[place] = _Shared(_open_environment(path), _identity(path))
        shared.users += 1
        return shared


def _release(path: str, shared: _Shared) -> None:
    with _guard:
        shared.users -= 1
        if shared.users == 0 and shared.pid == os.getpid():
            shared.env.close()
            if _environments.get(os.path.realpath(path)) is shared:
                del _environments[os.path.realpath(path)]


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(_file(path))
    return status.st_dev, status.st_ino


def _file(path: str) -> Path:
    return Path(path, "data.mdb") if os.path.isdir(path) else Path(path)


def _open_copy(path: str, file: Path) -> Any:
    """The records of now of a database that a script in this process keeps open, as py-lmdb opens none twice."""
    if file.stat().st_size > _LARGEST_COPY:
        raise FileAccessError(
            f"The LMDB '{path}' is open in this process through lmdb.open",
            fix="Close that environment first: env.close()",
        )
    logs.warning(f"The LMDB '{path}' is open in this process through lmdb.open: reading a copy of it")
    with tempfile.TemporaryDirectory(prefix="caffe-lmdb-", ignore_cleanup_errors=True) as folder:
        copy = shutil.copyfile(file, Path(folder, file.name))  # once mapped, it needs no name
        return lmdb.open(str(copy), readonly=True, subdir=False, lock=False, create=False)


def _open_environment(path: str) -> Any:
    folder = os.path.isdir(path)
    file = _file(path)
    lock = os.access(path if folder else file.parent, os.W_OK)
    try:
        try:
            env = lmdb.open(path, readonly=True, subdir=folder, lock=lock, readahead=True, create=False)
        except lmdb.LockError:
            env = lmdb.open(path, readonly=True, subdir=folder, lock=False, readahead=True, create=False)
    except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError) as error:
        raise CorruptDataError(
            f"The LMDB '{path}' cannot be read: {_reason(error)}", fix="Copy or make it again"
        ) from error
    except lmdb.Error as error:
        if "already open" in str(error):
            env, lock = _open_copy(path, file), False
        elif not file.stat().st_size:
            raise CorruptDataError(f"The LMDB '{path}' is empty: {file.name} has 0 bytes") from error
        else:
            raise FileAccessError(f"The LMDB '{path}' cannot be opened: {_reason(error)}") from error
    expected = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    size = file.stat().st_size
    if size < expected:
        # read on, this would end the process: the missing pages are mapped, but there is nothing behind them
        env.close()
        raise CorruptDataError(
            f"The LMDB '{path}' is cut off: {file.name} must have at least {expected:,} bytes; got {size:,}",
            fix="Copy or make it again",
        )
    if lock:
        env.reader_check()
    return env


def _reason(error: Exception) -> str:
    return str(error).removeprefix(f"{error.args[0]}: ") if error.args else str(error)


def _full(error: Exception) -> bool:
    """Whether a disk without room may be the reason: LMDB calls a write that was cut short an I/O error."""
    return any(word in str(error).lower() for word in ("space", "input/output"))


class LmdbDatabase:
    """An LMDB opened for reading. Raises CorruptDataError, DataError, FileAccessError."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._shared: _Shared | None = _acquire(path)
        try:
            count = len(self)
        except lmdb.Error as error:
            self.close()
            raise CorruptDataError(f"The LMDB '{path}' cannot be read: {_reason(error)}") from error
        if count == 0:
            self.close()
            raise DataError(f"The LMDB '{path}' is empty: it must hold at least one record")

    @property
    def env(self) -> Any:
        """py-lmdb's environment, shared by all who opened this path."""
        if self._shared is None:
            raise FileAccessError(f"The LMDB '{self.path}' was closed")
        return self._shared.env

    def __len__(self) -> int:
        return int(self.env.stat()["entries"])

    def cursor(self) -> LmdbCursor:
        return LmdbCursor(self)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        with self.env.begin() as transaction, transaction.cursor() as cursor:
            yield from cursor.iternext()

    def get(self, key: bytes) -> bytes | None:
        with self.env.begin() as transaction:
            found: bytes | None = transaction.get(key)
            return found

    def close(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            _release(self.path, shared)


class LmdbCursor:
    """A place in an LMDB, with a transaction of its own: it sees the database as it was when opened."""

    def __init__(self, database: LmdbDatabase) -> None:
        self._path = database.path
        self._transaction = database.env.begin(buffers=True)
        self._cursor = self._transaction.cursor()
        self._records: Iterator[Item] = self._cursor.iternext()
        self._last: Any = b""

    def take(self, count: int) -> list[Item]:
        try:
            items = list(islice(self._records, count))
            while len(items) < count:
                if not self._cursor.first():
                    raise DataError(f"The LMDB '{self._path}' is empty")
                self._records = self._cursor.iternext()
                items += islice(self._records, count - len(items))
        except lmdb.Error as error:
            raise CorruptDataError(f"The LMDB '{self._path}' is damaged: {_reason(error)}") from error
        self._last = items[-1][0] if items else self._last
        return items

    def last_key(self) -> bytes:
        return bytes(self._last)

    def seek_after(self, key: bytes) -> None:
        self._last = key
        found = self._cursor.set_range(key) if key else self._cursor.first()
        if found and key and bytes(self._cursor.key()) == key:
            found = self._cursor.next()
        if not found:
            self._cursor.first()
        self._records = self._cursor.iternext()

    def close(self) -> None:
        self._records = iter(())
        self._last = self.last_key()
        self._cursor.close()
        self._transaction.abort()


class LmdbWriter:
    """An LMDB opened for writing; grows as needed, commits every thousand records."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._env = lmdb.open(path, map_size=_FIRST_MAP_SIZE, subdir=True, map_async=True, writemap=False)
        except lmdb.Error as error:
            raise FileAccessError(f"The LMDB '{path}' cannot be made: {_reason(error)}") from error
        size = self._env.info()["map_size"]
        if size < _FIRST_MAP_SIZE:
            self._env.set_mapsize(_FIRST_MAP_SIZE)
        self._pending: list[tuple[bytes, bytes]] = []
        self._closed = False

    def put(self, key: bytes, value: bytes) -> None:
        self._pending.append((key, value))
        if len(self._pending) >= _COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        while self._pending:
            try:
                with self._env.begin(write=True) as transaction, transaction.cursor() as cursor:
                    cursor.putmulti(self._pending, append=False)
                self._pending = []
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] * 2)
            except lmdb.Error as error:
                pending, self._pending = len(self._pending), []
                raise FileAccessError(
                    f"{pending} records cannot be written to the LMDB '{self._path}': {_reason(error)}",
                    fix="Make room on the disk" if _full(error) else None,
                ) from error

    def count(self) -> int:
        return int(self._env.stat()["entries"]) + len(self._pending)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self.commit()
            self._env.sync(True)
        except lmdb.Error as error:
            raise FileAccessError(f"The LMDB '{self._path}' cannot be written: {_reason(error)}") from error
        finally:
            self._env.close()
