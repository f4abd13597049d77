"""What a database of records by key is: how it is read, through cursors that begin again at the end, and written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

Item = tuple[Any, Any]
"""Key and value, as bytes or as views of the database that stay valid while their cursor is open."""


class Cursor(Protocol):
    """A place in a database."""

    def take(self, count: int) -> list[Item]:
        """The next ``count`` records; after the last one comes the first again."""

    def last_key(self) -> bytes:
        """The key of the record read last; empty before the first."""

    def seek_after(self, key: bytes) -> None:
        """Go to the record behind ``key``, to the first for an empty one."""

    def whole(self, items: Sequence[Item]) -> Sequence[Item]:
        """The same items, read anew where somebody may have written over them since they were taken."""

    def close(self) -> None:
        """Give the place back. Views of records are invalid from now on."""


class Database(Protocol):
    """A database opened for reading."""

    path: str

    def __len__(self) -> int: ...

    def cursor(self) -> Cursor:
        """A new place, before the first record."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every record once, in key order."""

    def get(self, key: bytes) -> bytes | None:
        """The record of a key, or None."""

    def close(self) -> None:
        """Close it; others who opened the same database are not touched."""


class Writer(Protocol):
    """A database being written."""

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record, or replace the one of that key."""

    def commit(self) -> None:
        """Make what was put durable."""

    def count(self) -> int:
        """How many records there are."""

    def last_key(self) -> bytes:
        """The largest key so far; empty where there is none."""

    def close(self) -> None:
        """Commit and close."""


def key_text(key: object) -> str:
    """A key as text for messages."""
    return bytes(key).decode("utf-8", "backslashreplace")  # type: ignore[call-overload, no-any-return]
