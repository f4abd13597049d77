"""The structures of LMDB files, in the byte order and word size of the machine that wrote them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MAGIC = 0xBEEFC0DE
BRANCH, LEAF, OVERFLOW, META = 0x01, 0x02, 0x04, 0x08
BIG, SUBTREE = 0x01, 0x02
NONE = -1


@dataclass(frozen=True)
class Tree:
    """What a file says of one of its trees."""

    flags: int
    depth: int
    entries: int
    root: int


@dataclass(frozen=True)
class Meta:
    """What a meta page says."""

    tree: Tree
    last_page: int
    transaction: int


class Layout:
    """The structures of a machine: its byte order and the size of its addresses."""

    def __init__(self, order: str, word: str) -> None:
        self.word = struct.Struct(order + word)
        self.width = self.word.size
        self.header = self.width + 8  # number, padding, flags, lower and upper bound
        self.page = struct.Struct(f"{order}{word}HHHH")
        self.node = struct.Struct(order + "HHHH")
        self.tree = struct.Struct(f"{order}IHH5{word}")
        self.meta = struct.Struct(f"{order}II2{word}")
        self.pages = struct.Struct(order + "I")
        self.half = np.dtype(order + "u2")
        self.whole = np.dtype(f"{order}u{self.width}")
        self.order = order
        self.low_first = order == "<"

    def metas(self, view: memoryview, page_size: int) -> Iterator[Meta]:
        """What the two meta pages say, as far as they are whole."""
        for at in (0, page_size):
            place = at + self.header
            if place + self.meta.size + 2 * self.tree.size + 2 * self.width > len(view):
                continue
            _, _, flags, _, _ = self.page.unpack_from(view, at)
            magic, version, *_ = self.meta.unpack_from(view, place)
            if magic != MAGIC or version != 1 or not flags & META:
                continue
            place += self.meta.size + self.tree.size  # behind the tree of free pages
            tree = self._tree(view, place)
            place += self.tree.size
            (last,) = self.word.unpack_from(view, place)
            (transaction,) = self.word.unpack_from(view, place + self.width)
            yield Meta(tree, last, transaction)

    def _tree(self, view: memoryview, at: int) -> Tree:
        _, flags, depth, _, _, _, entries, root = self.tree.unpack_from(view, at)
        return Tree(flags, depth, entries, NONE if root == (1 << 8 * self.width) - 1 else root)


LAYOUTS = [Layout(order, word) for order in "<>" for word in "QI"]
