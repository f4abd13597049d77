"""LevelDB, read and written by plyvel (the extra ``leveldb``).

A LevelDB may be open only once on a machine, so readers of one path in this process share it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from caffe.data.sources.keyed import Item
from caffe.errors import CorruptDataError, DataError, FileAccessError, MissingPackageError

_COMMIT_EVERY = 1000


def _plyvel() -> Any:
    try:
        import plyvel
    except ImportError:
        raise MissingPackageError.of("plyvel", "leveldb", "A LevelDB database") from None
    return plyvel


def _damage() -> tuple[type[Exception], ...]:
    """What reading a damaged database raises."""
    plyvel = _plyvel()
    return plyvel.CorruptionError, plyvel.IOError


def _damaged(path: str, error: Exception) -> CorruptDataError:
    return CorruptDataError(f"The LevelDB '{path}' is damaged: {_reason(error)}", fix="Copy or make it again")


def _reason(error: Exception) -> str:
    what = error.args[0] if error.args else error
    return what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)


class _Shared:
    def __init__(self, db: Any) -> None:
        self.db = db
        self.users = 0


_open_databases: dict[str, _Shared] = {}
_guard = threading.Lock()


def _open(path: str, **options: Any) -> Any:
    plyvel = _plyvel()
    try:
        return plyvel.DB(path, paranoid_checks=True, **options)
    except plyvel.CorruptionError as error:
        raise CorruptDataError(
            f"The LevelDB '{path}' is damaged: {error}", fix="Copy or make it again, or try plyvel.repair_db"
        ) from error
    except plyvel.IOError as error:
        locked = "lock" in str(error).lower()
        message = f"The LevelDB '{path}' cannot be opened: {error}"
        if locked:
            raise FileAccessError(
                message, fix="A LevelDB can be open in one process only: end the other, or use an LMDB"
            ) from error
        if "No such file" in str(error) or "missing files" in str(error):
            raise CorruptDataError(message, fix="Copy or make it again") from error
        raise FileAccessError(message, fix="A LevelDB writes to its folder even when it is read") from error
    except plyvel.Error as error:
        raise DataError(f"The LevelDB '{path}' cannot be opened: {error}") from error


class LevelDatabase:
    """A LevelDB opened for reading. Raises CorruptDataError, DataError, FileAccessError,
    MissingPackageError.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        place = os.path.realpath(path)
        with _guard:
            shared = _open_databases.get(place)
            if shared is None:
                shared = _open_databases[place] = _Shared(_open(path, create_if_missing=False))
            shared.users += 1
        self._shared: _Shared | None = shared
        self._count: int | None = None
        try:
            empty = not self.cursor().take(1)
        except DataError:
            self.close()
            raise
        if empty:
            self.close()
            raise DataError(f"The LevelDB '{path}' is empty: it must hold at least one record")

    @property
    def db(self) -> Any:
        """plyvel's database, shared by all in this process who opened this path."""
        if self._shared is None:
            raise FileAccessError(f"The LevelDB '{self.path}' was closed")
        return self._shared.db

    def __len__(self) -> int:
        if self._count is None:
            with self.db.iterator(include_value=False, fill_cache=False) as keys:
                self._count = sum(1 for _ in keys)
        return self._count

    def cursor(self) -> LevelCursor:
        return LevelCursor(self)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        try:
            with self.db.iterator(verify_checksums=True, fill_cache=False) as records:
                yield from records
        except _damage() as error:
            raise _damaged(self.path, error) from error

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self.db.get(key)
        return value

    def close(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            with _guard:
                shared.users -= 1
                if shared.users == 0:
                    shared.db.close()
                    _open_databases.pop(os.path.realpath(self.path), None)


class LevelCursor:
    """A place in a LevelDB."""

    def __init__(self, database: LevelDatabase) -> None:
        self._path = database.path
        self._damage = _damage()
        try:
            self._records = database.db.iterator(verify_checksums=True, fill_cache=False)
        except self._damage as error:
            raise _damaged(self._path, error) from error
        self._last = b""

    def take(self, count: int) -> list[Item]:
        try:
            items = list(islice(self._records, count))
            while count > 0 and len(items) < count:
                self._records.seek_to_start()
                more = list(islice(self._records, count - len(items)))
                if not more:
                    break
                items += more
        except self._damage as error:
            raise _damaged(self._path, error) from error
        self._last = items[-1][0] if items else self._last
        return items

    def last_key(self) -> bytes:
        return self._last

    def seek_after(self, key: bytes) -> None:
        self._last = key
        if not key:
            self._records.seek_to_start()
            return
        self._records.seek(key)
        following = next(self._records, None)
        if following is not None and following[0] != key:
            self._records.seek(key)

    def whole(self, items: Sequence[Item]) -> Sequence[Item]:
        return items  # LevelDB's are copies

    def close(self) -> None:
        self._records.close()


class LevelWriter:
    """A LevelDB opened for writing; commits every thousand records."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._db = _open(path, create_if_missing=True)
        with self._db.iterator(include_value=False) as keys:
            self._count = sum(1 for _ in keys)
        self._batch = self._db.write_batch()
        self._pending = 0

    def put(self, key: bytes, value: bytes) -> None:
        self._batch.put(key, value)
        self._pending += 1
        if self._pending >= _COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        if not self._pending:
            return
        plyvel = _plyvel()
        try:
            self._batch.write()
        except plyvel.Error as error:
            raise FileAccessError(
                f"{self._pending} records cannot be written to the LevelDB '{self._path}': {_reason(error)}",
                fix="Make room on the disk" if "space" in str(error).lower() else None,
            ) from error
        finally:
            self._batch = self._db.write_batch()
            self._count += self._pending
            self._pending = 0

    def count(self) -> int:
        return self._count + self._pending

    def last_key(self) -> bytes:
        self.commit()
        with self._db.iterator(include_value=False, reverse=True) as keys:
            return next(keys, b"")

    def close(self) -> None:
        try:
            self.commit()
        finally:
            self._db.close()
