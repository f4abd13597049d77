"""Several databases read as one, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe.data.sources.keyed import Cursor, Database, Item


class ShardedDatabase:
    """The records of several databases in the order given; their keys need not differ.

    Nobody may write to them meanwhile.
    """

    def __init__(self, path: str, shards: Sequence[Database]) -> None:
        self.path = path
        self.shards = list(shards)

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def cursor(self) -> ShardedCursor:
        return ShardedCursor(self.shards)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        for shard in self.shards:
            yield from shard.items()

    def get(self, key: bytes) -> bytes | None:
        """The record of a key in the first shard that has it."""
        found = (shard.get(key) for shard in self.shards)
        return next((value for value in found if value is not None), None)

    def close(self) -> None:
        for shard in self.shards:
            shard.close()


class ShardedCursor:
    """A place in several databases: a shard, and how many of its records were read."""

    def __init__(self, shards: Sequence[Database]) -> None:
        self._counts = [len(shard) for shard in shards]
        self._cursors: list[Cursor] = [shard.cursor() for shard in shards]
        self._shard = self._read = 0

    def take(self, count: int) -> list[Item]:
        items: list[Item] = []
        while len(items) < count:
            if self._read == self._counts[self._shard]:
                self._go(self._shard + 1)
            wanted = min(count - len(items), self._counts[self._shard] - self._read)
            items += self._cursors[self._shard].take(wanted)
            self._read += wanted
        return items

    def _go(self, shard: int, read: int = 0, key: bytes = b"") -> None:
        self._shard, self._read = shard % len(self._cursors), read
        self._cursors[self._shard].seek_after(key)

    def last_key(self) -> bytes:
        """The shard, what was read of it, and the key there; empty before the first record."""
        if not (self._shard or self._read):
            return b""
        return b"%d %d " % (self._shard, self._read) + self._cursors[self._shard].last_key()

    def seek_after(self, key: bytes) -> None:
        if not key:
            self._go(0)
            return
        shard, read, own = key.split(b" ", 2)
        self._go(int(shard), min(int(read), self._counts[int(shard) % len(self._counts)]), own)

    def whole(self, items: Sequence[Item]) -> Sequence[Item]:
        return items

    def close(self) -> None:
        for cursor in self._cursors:
            cursor.close()
