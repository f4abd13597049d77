"""LMDB files, read page by page.

A reader of our own, as the library may open a file only once in a process, which scripts that use it beside a
net need for themselves; it also trusts what the file says of its own pages, and so ends the process when a file
is damaged. Here each number is checked before it is followed. Nothing is locked and nothing written.

An LMDB is a B+ tree in pages of one size. Pages 0 and 1 are the meta pages: the one of the higher transaction
number says where the root is. A writer never changes pages of the last transaction, but it may reuse them once
it is two transactions ahead; so what was read holds as long as no newer
transaction is there (:meth:`LmdbFile.changed`).
Files of 32 bit and of big-endian machines are read, too.
"""

from __future__ import annotations

import copy
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from caffe.errors import CorruptDataError, DataError, FileAccessError
from caffe.formats.lmdb_layout import (
    BIG,
    BRANCH,
    LAYOUTS,
    LEAF,
    MAGIC,
    NONE,
    OVERFLOW,
    SUBTREE,
    Layout,
    Tree,
)

Record = tuple[bytes, memoryview]

_DEEPEST = 32
_AT_ONCE = 256


class LmdbFile:
    """The main database of an LMDB file, as of the last transaction when it was opened.

    Views of values stay valid while they are held. Raises CorruptDataError, DataError (not such a file) and
    FileAccessError.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = name or os.fspath(path)
        try:
            self._file = open(path, "rb")  # noqa: SIM115
        except OSError as error:
            raise FileAccessError(f"The LMDB '{self.path}' cannot be opened: {error.strerror}") from error
        try:
            self._map()
            self._layout, self._page_size = self._find_layout()
            self.refresh()
        except BaseException:
            self.close()
            raise

    # Opening

    def _map(self) -> None:
        self._size = os.fstat(self._file.fileno()).st_size
        if not self._size:
            raise self._damaged("its file has 0 bytes", kind="is empty")
        try:
            self._bytes = memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise FileAccessError(f"The LMDB '{self.path}' cannot be opened: {error}") from error
        self._size = len(self._bytes)

    def _find_layout(self) -> tuple[Layout, int]:
        for layout in LAYOUTS:
            at = layout.header
            if self._size < at + layout.meta.size + 2 * layout.tree.size + 2 * layout.width:
                continue
            magic, version, *_ = layout.meta.unpack_from(self._bytes, at)
            if magic != MAGIC:
                continue
            if version != 1:
                raise DataError(
                    f"The LMDB '{self.path}' must be of format version 1; it is of {version}",
                    fix="Write it anew with an LMDB library of version 0.9",
                )
            size, *_ = layout.tree.unpack_from(self._bytes, at + layout.meta.size)
            if size & (size - 1) or not 256 <= size <= 1 << 16:
                raise self._damaged(f"pages must have 256 to 65,536 bytes, a power of 2; it says {size:,}")
            return layout, size
        raise self._damaged("its first page is not an LMDB's")

    def refresh(self) -> None:
        """Go to the last transaction. Raises CorruptDataError where the file is shorter than it says."""
        metas = list(self._layout.metas(self._bytes, self._page_size))
        # a writer may have come between: an old root with a new transaction's number would be taken for whole
        while (again := list(self._layout.metas(self._bytes, self._page_size))) != metas:
            metas = again
        meta = max(metas, key=lambda m: m.transaction, default=None)
        if os.fstat(self._file.fileno()).st_size != self._size:
            self._map()
        if meta is None:
            raise self._damaged("neither of its first two pages is whole")
        expected = (meta.last_page + 1) * self._page_size
        if self._size < expected:
            raise self._damaged(
                f"its file must have at least {expected:,} bytes; got {self._size:,}", kind="is cut off"
            )
        tree = meta.tree
        if tree.flags:
            raise DataError(
                f"The LMDB '{self.path}' must have one value a key, and keys in the order of their bytes;"
                f" it was made with the flags {tree.flags:#x}"
            )
        if tree.depth > _DEEPEST or (tree.root == NONE) != (tree.entries == 0):
            raise self._damaged(f"a tree of {tree.entries:,} records, {tree.depth} deep, cannot be")
        self._meta = meta

    # Reading

    def __len__(self) -> int:
        return self._meta.tree.entries

    def changed(self) -> bool:
        """Whether a newer transaction is there: then what was read so far may be overwritten at any time.

        Raises CorruptDataError where the file was cut off meanwhile.
        """
        if self._file.closed:
            return False
        size = os.fstat(self._file.fileno()).st_size
        if size < (self._meta.last_page + 1) * self._page_size:
            raise self._damaged(f"its file had {self._size:,} bytes and now has {size:,}", kind="was cut off")
        layout = self._layout
        at = layout.header + layout.meta.size + 2 * layout.tree.size + layout.width
        read = layout.word.unpack_from
        newest = max(read(self._bytes, at)[0], read(self._bytes, at + self._page_size)[0])
        return bool(newest > self._meta.transaction)

    def runs(self, start: bytes = b"") -> Iterator[list[Record]]:
        """The records in order, from the first whose key is ``start`` or behind it, many at once.

        Raises CorruptDataError, after the records in front of the damage.
        """
        tree = self._meta.tree
        count = 0
        for run in self._walk(tree, start):
            count += len(run)
            if count > tree.entries:
                break
            yield run
        if count > tree.entries or (not start and count < tree.entries):
            raise self._damaged(f"it says that it has {tree.entries:,} records, and has {count:,}")

    def records(self, start: bytes = b"") -> Iterator[Record]:
        """The same, one by one."""
        return chain.from_iterable(self.runs(start))

    def get(self, key: bytes) -> memoryview | None:
        """The value of a key, or None."""
        first, value = next(chain.from_iterable(self._walk(self._meta.tree, key)), (None, None))
        return value if first == key else None

    def again(self) -> LmdbFile:
        """The same file, at the same transaction, to be refreshed and closed apart from this one."""
        other = copy.copy(self)
        other._file = open(os.dup(self._file.fileno()), "rb")  # noqa: SIM115
        return other

    def close(self) -> None:
        """Close the file; views of values stay valid."""
        self._file.close()

    # The tree

    def _walk(self, tree: Tree, start: bytes = b"") -> Iterator[list[Record]]:
        """The records of a tree. Each step down leads to at least one, so that no file makes this endless."""
        if tree.root == NONE:
            return
        wanted = start or None
        stack: list[Iterator[int]] = [iter((tree.root,))]
        while stack:
            number = next(stack[-1], None)
            if number is None:
                stack.pop()
                continue
            flags, places = self._open(number)
            if flags & BRANCH:
                if len(stack) >= tree.depth:
                    raise self._damaged(
                        f"page {number} leads deeper than the {tree.depth} steps that it says"
                    )
                children = self._children(number, places)
                if wanted is not None:
                    children = self._from(number, places, children, wanted)
                if len(stack) + 1 == tree.depth and wanted is None:
                    yield from self._leaves(children, tree)
                else:
                    stack.append(iter(children))
            else:
                if len(stack) != tree.depth:
                    raise self._damaged(
                        f"page {number} must be {tree.depth} steps from the root; it is {len(stack)}"
                    )
                for record in self._leaf(number, places):
                    if wanted is None or record[0] >= wanted:
                        yield [record]
                wanted = None  # all further pages are behind it

    def _open(self, number: int) -> tuple[int, tuple[int, ...]]:
        """A page's flags, and where its nodes are in the file."""
        layout = self._layout
        base = number * self._page_size
        if not 2 <= number <= self._meta.last_page or base + self._page_size > self._size:
            raise self._damaged(f"page {number} is not in the file")
        own, _, flags, lower, upper = layout.page.unpack_from(self._bytes, base)
        if own != number or flags not in (BRANCH, LEAF):
            raise self._damaged(f"page {number} is no page of a tree")
        return flags, self._places(number, base, self._page_size, lower, upper)

    def _places(self, number: int, base: int, size: int, lower: int, upper: int) -> tuple[int, ...]:
        header = self._layout.header
        count = (lower - header) // 2
        if count < 1 or not lower <= upper <= size:
            raise self._damaged(f"page {number} has impossible bounds, {lower} and {upper}")
        offsets = struct.unpack_from(f"{self._layout.order}{count}H", self._bytes, base + header)
        if min(offsets) < lower or max(offsets) > size - 8:
            raise self._damaged(f"page {number} has nodes outside itself")
        return tuple([base + offset for offset in offsets])

    def _node(self, at: int) -> tuple[int, int, int, int]:
        """Lower and upper half of the size (or child), flags, size of the key."""
        first, second, flags, key = self._layout.node.unpack_from(self._bytes, at)
        return (first, second, flags, key) if self._layout.low_first else (second, first, flags, key)

    def _children(self, number: int, places: tuple[int, ...]) -> list[int]:
        pages = []
        for at in places:
            low, high, top, _ = self._node(at)
            pages.append(low | high << 16 | (top << 32 if self._layout.width == 8 else 0))
        return pages

    def _from(self, number: int, places: tuple[int, ...], children: list[int], wanted: bytes) -> list[int]:
        """The children that may hold a key from ``wanted`` on: the last whose first key is not behind it, and more."""
        low, high = 0, len(places) - 1  # the first child's key is not written
        while low < high:
            middle = (low + high + 1) // 2
            size = self._node(places[middle])[3]
            start = places[middle] + 8
            if start + size > (number + 1) * self._page_size:
                raise self._damaged(f"a key of page {number} reaches beyond it")
            if bytes(self._bytes[start : start + size]) <= wanted:
                low = middle
            else:
                high = middle - 1
        return children[low:]

    def _leaves(self, numbers: list[int], tree: Tree) -> Iterator[list[Record]]:
        """The records of leaves side by side, many leaves at once."""
        view = self._bytes
        for i in range(0, len(numbers), _AT_ONCE):
            some = numbers[i : i + _AT_ONCE]
            spans = self._spans(np.array(some, np.int64))
            if spans is not None:
                keys, starts, ends = spans
                yield [(key, view[start:end]) for key, start, end in zip(keys, starts, ends)]
                continue
            for number in some:  # with values that are no plain bytes, or damaged: it is said which
                flags, places = self._open(number)
                if flags & BRANCH:
                    raise self._damaged(
                        f"page {number} must be {tree.depth} steps from the root; it is a branch"
                    )
                yield from ([record] for record in self._leaf(number, places))

    def _leaf(self, number: int, places: tuple[int, ...]) -> Iterator[Record]:
        view, end = self._bytes, (number + 1) * self._page_size
        unpack, swapped = self._layout.node.unpack_from, not self._layout.low_first
        for at in places:
            low, high, kind, size = unpack(view, at)
            start = at + 8
            data = start + size
            length = (high | low << 16) if swapped else (low | high << 16)
            if data + (length if kind != BIG else self._layout.width) > end:
                raise self._damaged(f"a record of page {number} reaches beyond it")
            key = bytes(view[start:data])
            if not kind:
                yield key, view[data : data + length]
            elif kind == BIG:
                yield key, self._overflow(data, length)
            elif kind == SUBTREE:
                raise DataError(
                    f"The LMDB '{self.path}' holds databases with names, such as '{key.decode('utf-8', 'replace')}'",
                    fix="Copy the records that are wanted to an LMDB without named databases",
                )
            else:
                raise self._damaged(f"a record of page {number} is of the unknown kind {kind}")

    def _spans(self, numbers: npt.NDArray[np.int64]) -> tuple[Iterable[bytes], list[int], list[int]] | None:
        """The keys of leaves' records, and where in the file their values begin and end.

        None where any is not as plain and whole as it must be.
        """
        layout, size, psize = self._layout, self._size, self._page_size
        base = numbers * psize
        if numbers.min() < 2 or numbers.max() > self._meta.last_page or base.max() + psize > size:
            return None
        halves = np.frombuffer(self._bytes, layout.half, size // 2)
        at = base // 2 + layout.width // 2
        lower, upper = halves[at + 2].astype(np.int64), halves[at + 3]
        counts = (lower - layout.header) // 2
        whole = (halves[at + 1] == LEAF) & (counts > 0) & (lower <= upper) & (upper <= psize)
        if not whole.all() or (self._words(base) != numbers).any():
            return None
        starts = np.repeat(base, counts)
        order = np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
        offsets = halves[(starts + layout.header) // 2 + order].astype(np.int64)
        if (offsets % 2).any() or (offsets < np.repeat(lower, counts)).any() or offsets.max() > psize - 8:
            return None
        nodes = starts + offsets
        low, high, kind, key_size = (halves[nodes // 2 + i].astype(np.int64) for i in range(4))
        length = (low | high << 16) if layout.low_first else (high | low << 16)
        key = nodes + 8
        value = key + key_size
        big = kind == BIG
        if ((kind != 0) & ~big).any() or (value + np.where(big, layout.width, length) > starts + psize).any():
            return None
        if big.any():
            place = self._overflows(value[big], length[big])
            if place is None:
                return None
            value[big] = place
        return self._keys(key, key_size), value.tolist(), (value + length).tolist()

    def _keys(self, at: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Iterable[bytes]:
        width = int(sizes[0])
        if width and (sizes == width).all():
            joined = np.frombuffer(self._bytes, np.uint8)[at[:, None] + np.arange(width)].tobytes()
            return map(itemgetter(0), struct.iter_unpack(f"{width}s", joined))
        view = self._bytes
        return (bytes(view[a : a + size]) for a, size in zip(at.tolist(), sizes.tolist()))

    def _words(self, at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The page numbers written at these places."""
        octets = np.frombuffer(self._bytes, np.uint8)[at[:, None] + np.arange(self._layout.width)]
        return octets.view(self._layout.whole)[:, 0].astype(np.int64)  # type: ignore[no-any-return]

    def _overflows(
        self, at: npt.NDArray[np.int64], length: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64] | None:
        """Where the values begin whose first pages are named at these places; None where one is not whole."""
        layout = self._layout
        numbers = self._words(at)
        last = min(self._meta.last_page, self._size // self._page_size - 1)
        if numbers.min() < 2 or numbers.max() > last:
            return None
        base = numbers * self._page_size
        halves = np.frombuffer(self._bytes, layout.half, self._size // 2)
        place = base // 2 + layout.width // 2
        first, second = halves[place + 2].astype(np.int64), halves[place + 3].astype(np.int64)
        count = (first | second << 16) if layout.low_first else (second | first << 16)
        start = base + layout.header
        room = np.minimum(count, self._size // self._page_size - numbers) * self._page_size
        if (halves[place + 1] != OVERFLOW).any() or (self._words(base) != numbers).any():
            return None
        return None if (length > room - layout.header).any() else start

    def _overflow(self, at: int, length: int) -> memoryview:
        """A value that has pages of its own."""
        layout = self._layout
        (number,) = layout.word.unpack_from(self._bytes, at)
        base = number * self._page_size
        if not 2 <= number <= self._meta.last_page or base + layout.header > self._size:
            raise self._damaged(f"the pages of a value, from {number} on, are not in the file")
        own, _, flags, _, _ = layout.page.unpack_from(self._bytes, base)
        (count,) = layout.pages.unpack_from(self._bytes, base + layout.width + 4)
        start = base + layout.header
        if own != number or not flags & OVERFLOW:
            raise self._damaged(f"page {number} holds no value")
        if start + length > min(base + count * self._page_size, self._size):
            raise self._damaged(
                f"a value of {length:,} bytes does not fit its {count:,} pages, from {number} on"
            )
        return self._bytes[start : start + length]

    def _damaged(self, message: str, kind: str = "is damaged") -> CorruptDataError:
        return CorruptDataError(f"The LMDB '{self.path}' {kind}: {message}", fix="Copy or make it again")
