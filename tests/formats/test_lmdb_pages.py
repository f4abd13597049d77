"""Our reader of LMDB's pages, against what py-lmdb wrote; and damaged, cut and foreign files."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import lmdb
import pytest

from caffe.errors import CorruptDataError, DataError, FileAccessError
from caffe.formats.lmdb_pages import LmdbFile


def written(path: Path, records: list[tuple[bytes, bytes]]) -> Path:
    """A database in one file."""
    with lmdb.open(str(path), subdir=False, map_size=1 << 26) as env, env.begin(write=True) as transaction:
        for key, value in records:
            transaction.put(key, value)
    return path


def read(path: Path, start: bytes = b"") -> list[tuple[bytes, bytes]]:
    file = LmdbFile(path)
    found = [(key, bytes(value)) for key, value in file.records(start)]
    file.close()
    return found


def some(count: int, seed: int = 0) -> list[tuple[bytes, bytes]]:
    """Keys of several lengths; values in the page, in pages of their own, and empty."""
    draw = random.Random(seed)
    records = {
        draw.randbytes(draw.randint(1, 60)): draw.randbytes(draw.choice([0, 9, 300, 2040, 5000, 20000]))
        for _ in range(count)
    }
    return sorted(records.items())


@pytest.mark.parametrize("count", [1, 2, 5, 40, 700])
def test_what_py_lmdb_wrote(tmp_path, count):
    records = some(count)
    path = written(tmp_path / "db", records)
    assert read(path) == records
    file = LmdbFile(path)
    assert len(file) == len(records)
    for key, value in records[:: max(1, count // 20)]:
        assert file.get(key) == value
        assert file.get(key + b"\0") is None
        expected = [r for r in records if r[0] > key]
        assert read(path, key + b"\0") == expected


def test_three_levels_of_branches(tmp_path):
    records = [(b"%0200d" % i, b"%d" % i) for i in range(8000)]
    path = written(tmp_path / "db", records)
    assert read(path) == records
    assert read(path, b"%0200d" % 7123) == records[7123:]
    assert LmdbFile(path).get(b"%0200d" % 7999) == b"7999"


def test_databases_of_other_kinds_are_refused(tmp_path):
    content = bytearray(foreign("<", "Q"))
    content[1024 + 16 + 24 + 48 + 4] = 4  # several values a key
    (tmp_path / "db").write_bytes(content)
    with pytest.raises(DataError, match=r"one value a key.*0x4"):
        LmdbFile(tmp_path / "db")


def test_named_databases_are_told_of(tmp_path):
    with (
        lmdb.open(str(tmp_path / "db"), subdir=False, max_dbs=2) as env,
        env.begin(write=True) as transaction,
    ):
        transaction.put(b"k", b"v", db=env.open_db(b"train", txn=transaction))
    with pytest.raises(DataError, match=r"databases with names, such as 'train'"):
        read(tmp_path / "db")


def test_an_empty_database(tmp_path):
    path = written(tmp_path / "db", [])
    assert len(LmdbFile(path)) == 0 and read(path) == [] and LmdbFile(path).get(b"x") is None


def foreign(order: str, word: str) -> bytes:
    """A database of two records as a machine of other words and byte order writes it; the second in pages."""
    wide = struct.calcsize(order + word)
    page = 1024

    def head(number: int, flags: int, lower: int, upper: int) -> bytes:
        return struct.pack(f"{order}{word}HHHH", number, 0, flags, lower, upper)

    def tree(size: int, depth: int, entries: int, root: int) -> bytes:
        return struct.pack(f"{order}IHH5{word}", size, 0, depth, 0, depth, 0, entries, root)

    def meta(number: int, transaction: int) -> bytes:
        none = (1 << 8 * wide) - 1
        body = struct.pack(f"{order}II2{word}", 0xBEEFC0DE, 1, 0, 1 << 20)
        body += tree(page, 0, 0, none) + tree(0, 1, 2, 2) + struct.pack(f"{order}2{word}", 4, transaction)
        return (head(number, 8, 0, 0) + body).ljust(page, b"\0")

    def node(key: bytes, size: int, flags: int, data: bytes) -> bytes:
        halves = (size & 0xFFFF, size >> 16)
        return struct.pack(order + "4H", *halves[:: 1 if order == "<" else -1], flags, len(key)) + key + data

    one = node(b"one", 6, 0, b"value1") + b"\0"
    two = node(b"twoo", 1500, 1, struct.pack(order + word, 3))
    places = (page - len(one), page - len(one) - len(two))
    lower = wide + 8 + 4
    leaf = head(2, 2, lower, places[1]) + struct.pack(order + "2H", *places)
    leaf = leaf.ljust(places[1], b"\0") + two + one
    value = struct.pack(f"{order}{word}HHI", 3, 0, 4, 2) + b"2" * 1500
    return meta(0, 1) + meta(1, 2) + leaf + value.ljust(2 * page, b"\0")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("word", ["I", "Q"])
def test_files_of_other_machines(tmp_path, order, word):
    (tmp_path / "db").write_bytes(foreign(order, word))
    assert read(tmp_path / "db") == [(b"one", b"value1"), (b"twoo", b"2" * 1500)]
    if (order, word) == ("<", "Q"):
        with (
            lmdb.open(str(tmp_path / "db"), subdir=False, readonly=True, lock=False) as env,
            env.begin() as t,
        ):
            assert list(t.cursor()) == read(tmp_path / "db")


class TestDamage:
    def test_no_such_file(self, tmp_path):
        with pytest.raises(FileAccessError, match=r"No such file"):
            LmdbFile(tmp_path / "x")

    @pytest.mark.parametrize("content", [b"", b"x", b"\0" * 100, b"\0" * 10000])
    def test_no_lmdb(self, tmp_path, content):
        (tmp_path / "db").write_bytes(content)
        with pytest.raises(CorruptDataError, match=r"is empty|is damaged: its first page"):
            LmdbFile(tmp_path / "db")

    def test_a_newer_format(self, tmp_path):
        content = bytearray(foreign("<", "Q"))
        content[20] = 2
        (tmp_path / "db").write_bytes(content)
        with pytest.raises(DataError, match=r"must be of format version 1; it is of 2"):
            LmdbFile(tmp_path / "db")

    def test_cut_anywhere(self, tmp_path):
        records = some(60)
        content = written(tmp_path / "db", records).read_bytes()
        for size in range(0, len(content), 1111):
            (tmp_path / "cut").write_bytes(content[:size])
            with pytest.raises(CorruptDataError, match=r"is empty|is damaged|is cut off"):
                read(tmp_path / "cut")

    def test_cut_off_while_it_is_open(self, tmp_path):
        path = written(tmp_path / "db", some(60))
        file = LmdbFile(path)
        with open(path, "r+b") as other:
            other.truncate(8192)
        with pytest.raises(CorruptDataError, match=r"was cut off"):
            file.changed()

    def test_a_page_that_leads_to_itself(self, tmp_path):
        content = bytearray(written(tmp_path / "db", [(b"%0200d" % i, b"") for i in range(400)]).read_bytes())
        [root] = {
            int.from_bytes(content[p * 4096 + 128 : p * 4096 + 136], "little") for p in (1,)
        }  # the tree's root in the newer meta page
        first = root * 4096 + int.from_bytes(content[root * 4096 + 16 : root * 4096 + 18], "little")
        content[first : first + 6] = root.to_bytes(6, "little")
        (tmp_path / "loop").write_bytes(content)
        with pytest.raises(CorruptDataError, match=f"page {root} must be 2 steps|is a branch"):
            read(tmp_path / "loop")

    def test_bytes_changed_by_chance(self, tmp_path):
        """Nothing but our errors, and never more records than there were."""
        records = some(150, seed=3)
        content = written(tmp_path / "db", records).read_bytes()
        pages = sorted({*range(64), *(i for i in range(len(content)) if i % 4096 < 60)})
        draw = random.Random(0)
        refused = 0
        for _ in range(400):
            changed = bytearray(content)
            for _ in range(draw.randint(1, 6)):
                changed[draw.choice(pages)] = draw.randrange(256)
            (tmp_path / "changed").write_bytes(changed)
            try:
                assert len(read(tmp_path / "changed")) == len(records)
            except DataError:
                refused += 1
        assert refused > 50


def test_a_writer_beside_it(tmp_path):
    path = written(tmp_path / "db", some(50))
    file = LmdbFile(path)
    assert not file.changed()
    written(path, [(b"new", b"record")])
    assert file.changed() and file.get(b"new") is None
    file.refresh()
    assert not file.changed() and file.get(b"new") == b"record"
