"""LMDB: read by our own reader of its pages, written by py-lmdb.

Readers hold no locks, and scripts may open the same database with py-lmdb before or after them. While somebody
writes to it, a reader goes on with the newest records and reads again what may have been overwritten meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import lmdb

from caffe.data.sources.keyed import Item, key_text
from caffe.errors import CorruptDataError, DataError, FileAccessError
from caffe.formats.lmdb_pages import LmdbFile

_T = TypeVar("_T")

_COMMIT_EVERY = 1000
_FIRST_MAP_SIZE = 1 << 26
_AT_ONCE = 64
_TRIES = 100


class LmdbDatabase:
    """An LMDB opened for reading. Raises CorruptDataError, DataError, FileAccessError."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._open: LmdbFile | None = LmdbFile(_file(path), path)
        if not len(self):
            self.close()
            raise DataError(f"The LMDB '{path}' is empty: it must hold at least one record")

    @property
    def file(self) -> LmdbFile:
        """The file's pages."""
        if self._open is None:
            raise FileAccessError(f"The LMDB '{self.path}' was closed")
        return self._open

    def __len__(self) -> int:
        return len(self.file)

    def cursor(self) -> LmdbCursor:
        return LmdbCursor(self)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        place = _Place(self.file.again())
        while chunk := place.copies(_AT_ONCE):
            yield from chunk
        place.file.close()

    def get(self, key: bytes) -> bytes | None:
        file = self.file.again()
        try:
            return _Place(file).steady(lambda: _copy(file.get(key)))
        finally:
            file.close()

    def close(self) -> None:
        file, self._open = self._open, None
        if file is not None:
            file.close()


def _file(path: str) -> Path:
    return Path(path, "data.mdb") if os.path.isdir(path) else Path(path)


def _copy(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


class _Place:
    """A place in a file that another process may be writing to."""

    def __init__(self, file: LmdbFile) -> None:
        self.file = file
        self.last = b""
        self.written = False
        """Whether somebody wrote since this was opened: then values are copied before they are handed out."""
        self._records: Iterator[Item] = file.records()

    def seek_after(self, key: bytes) -> None:
        self.last = key
        records = self.file.records(key)
        self._records = (record for record in records if record[0] != key) if key else records

    def steady(self, read: Callable[[], _T]) -> _T:
        """What ``read`` gives, from records that nobody wrote over while it read."""
        for _ in range(_TRIES):
            try:
                values = read()
            except CorruptDataError:
                if not self.file.changed():
                    raise
            else:
                if not self.file.changed():
                    return values
            self.written = True
            self.file.refresh()
            self.seek_after(self.last)
        raise DataError(
            f"The LMDB '{self.file.path}' is being written so fast that it cannot be read meanwhile"
        )

    def next(self, count: int) -> list[Item]:
        """The next records, fewer at the end."""
        items = list(islice(self._records, count))
        return [(key, bytes(value)) for key, value in items] if self.written else items

    def copies(self, count: int) -> list[tuple[bytes, bytes]]:
        """The next records, fewer at the end, with values of their own."""
        items = self.steady(lambda: [(key, bytes(value)) for key, value in self.next(count)])
        self.last = items[-1][0] if items else self.last
        return items


class LmdbCursor:
    """A place in an LMDB."""

    def __init__(self, database: LmdbDatabase) -> None:
        self._place = _Place(database.file.again())

    def take(self, count: int) -> list[Item]:
        place = self._place
        items = place.steady(lambda: self._around(count))
        place.last = items[-1][0] if items else place.last
        return items

    def _around(self, count: int) -> list[Item]:
        place = self._place
        items = place.next(count)
        while len(items) < count:
            if not len(place.file):
                raise DataError(f"The LMDB '{place.file.path}' is empty")
            place.seek_after(b"")
            items += place.next(count - len(items))
        return items

    def last_key(self) -> bytes:
        return self._place.last

    def seek_after(self, key: bytes) -> None:
        self._place.seek_after(key)

    def whole(self, items: Sequence[Item]) -> Sequence[Item]:
        """The same items, read anew where somebody may have written over them since they were taken.

        Raises DataError where a record is no more.
        """
        place = self._place
        if not items or isinstance(items[0][1], bytes) or not (place.written or place.file.changed()):
            return items
        file = place.file.again()
        renewed: list[Item] = []
        for key, _ in items:
            value = _Place(file).steady(lambda key=key: _copy(file.get(key)))  # type: ignore[misc]
            if value is None:
                raise DataError(f"Record '{key_text(key)}' of '{file.path}' was removed before it was used")
            renewed.append((key, value))
        file.close()
        return renewed

    def close(self) -> None:
        self._place.file.close()


def _reason(error: Exception) -> str:
    return str(error).removeprefix(f"{error.args[0]}: ") if error.args else str(error)


def _full(error: Exception) -> bool:
    """Whether a disk without room may be the reason: LMDB calls a write that was cut short an I/O error."""
    return any(word in str(error).lower() for word in ("space", "input/output"))


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

    def last_key(self) -> bytes:
        self.commit()
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            return bytes(cursor.key()) if cursor.last() else b""

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
