"""LMDB and LevelDB: reading, writing, sharing, faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support_data import noise, raw_records, write_records

from caffe.data.sources.database import backend_of, create, open_database
from caffe.errors import CorruptDataError, DataError, FileAccessError, InputError, MissingFileError
from caffe.formats.datum import parse

BACKENDS = ["lmdb", "leveldb"]


def run(code: str, *args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python in another process."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_written_and_read(tmp_path: Path, backend: str) -> None:
    with create(tmp_path / "db", backend) as writer:
        for i in range(2500):
            writer.put(b"%05d" % i, b"value %d" % i)
        assert writer.count() == 2500
    assert os.listdir(tmp_path) == ["db"]
    assert backend_of(tmp_path / "db") == backend
    database = open_database(tmp_path / "db")
    assert len(database) == 2500
    assert [bytes(v) for _, v in database.items()] == [b"value %d" % i for i in range(2500)]
    assert database.get(b"00017") == b"value 17" and database.get(b"x") is None
    cursor = database.cursor()
    assert [bytes(k) for k, _ in cursor.take(2501)][-2:] == [b"02499", b"00000"]
    assert cursor.last_key() == b"00000"
    cursor.seek_after(b"01233")
    assert bytes(cursor.take(1)[0][0]) == b"01234"
    cursor.seek_after(b"01233x")
    assert bytes(cursor.take(1)[0][0]) == b"01234"
    cursor.seek_after(b"02499")
    assert bytes(cursor.take(1)[0][0]) == b"00000"
    cursor.seek_after(b"")
    assert bytes(cursor.take(1)[0][0]) == b"00000"
    cursor.close()
    database.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_opened_several_times(tmp_path: Path, backend: str) -> None:
    path = write_records(tmp_path / "db", raw_records(noise(4, 1, 2, 3)), backend)
    one, other = open_database(path), open_database(path)
    one.close()
    one.close()
    assert len(list(other.items())) == 4
    other.close()
    with pytest.raises(FileAccessError, match="closed"):
        len(one) if backend == "lmdb" else one.get(b"x")


def test_another_database_in_the_same_place(tmp_path: Path) -> None:
    path = write_records(tmp_path / "db", raw_records(noise(4, 1, 2, 3)))
    old = open_database(path)
    with create(path, "lmdb", overwrite=True) as writer:
        writer.put(b"only", b"one")
    new = open_database(path)
    assert (len(old), len(new)) == (4, 1)
    old.close()
    new.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failed_conversion_leaves_nothing(tmp_path: Path, backend: str) -> None:
    with pytest.raises(ZeroDivisionError), create(tmp_path / "db", backend) as writer:
        writer.put(b"key", b"value")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupted_conversion_goes_on(tmp_path: Path, backend: str) -> None:
    work = {"list": ["a", "b"]}
    with pytest.raises(KeyboardInterrupt), create(tmp_path / "db", backend, resume=work) as writer:
        writer.put(b"1", b"a")
        raise KeyboardInterrupt
    assert not (tmp_path / "db").exists()
    with pytest.raises(KeyboardInterrupt), create(tmp_path / "db", backend, resume=work) as writer:
        assert writer.count() == 1
        writer.put(b"2", b"b")
        raise KeyboardInterrupt
    with create(tmp_path / "db", backend, resume=work) as writer:
        assert writer.count() == 2
    assert os.listdir(tmp_path) == ["db"]
    with pytest.raises(KeyboardInterrupt), create(tmp_path / "e", backend, resume=work) as writer:
        writer.put(b"1", b"a")
        raise KeyboardInterrupt
    with create(tmp_path / "e", backend, resume={"list": ["other"]}) as writer:
        assert writer.count() == 0
        writer.put(b"1", b"x")


def test_what_exists_stays(tmp_path: Path) -> None:
    path = write_records(tmp_path / "db", raw_records(noise(4, 1, 2, 3)))
    with pytest.raises(FileAccessError, match=r"exists already.*--overwrite"), create(path, "lmdb"):
        pass
    with pytest.raises(ZeroDivisionError), create(path, "lmdb", overwrite=True):
        raise ZeroDivisionError
    assert len(open_database(path)) == 4
    with pytest.raises(InputError, match="lmdb, leveldb; got 'sqlite'"), create(tmp_path / "x", "sqlite"):
        pass
    with pytest.raises(MissingFileError, match="nowhere"), create(tmp_path / "nowhere" / "x", "lmdb"):
        pass
    with pytest.raises(MissingFileError, match="does not exist"):
        open_database(tmp_path / "y")


@pytest.mark.parametrize("records", [300, 5000])
def test_disk_full_while_converting(tmp_path: Path, records: int) -> None:
    # 300 records are written only when the writer is closed
    code = """
        import resource, sys
        from caffe.data.sources.database import create
        from caffe.errors import FileAccessError
        limit = 200_000 if int(sys.argv[2]) < 1000 else 3_000_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            with create(sys.argv[1], "lmdb") as writer:
                for i in range(int(sys.argv[2])):
                    writer.put(b"%08d" % i, bytes(2000))
        except FileAccessError as error:
            print(error)
    """
    done = run(code, tmp_path / "db", records)
    assert "cannot be written to the LMDB" in done.stdout
    assert os.listdir(tmp_path) == []


def test_leveldb_cut_off(tmp_path: Path) -> None:
    path = write_records(tmp_path / "db", raw_records(noise(300, 3, 30, 30)), "leveldb")
    # opening once more moves the records from the log to a table
    open_database(path).close()
    [table] = (tmp_path / "db").glob("*.ldb")
    raw = table.read_bytes()
    table.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(
        (CorruptDataError, FileAccessError), match=r"LevelDB '.*db' (is damaged|cannot be opened)"
    ):
        list(open_database(path).items())


def test_leveldb_with_damaged_records(tmp_path: Path) -> None:
    path = write_records(tmp_path / "db", raw_records(noise(300, 3, 30, 30)), "leveldb")
    open_database(path).close()
    [table] = (tmp_path / "db").glob("*.ldb")
    raw = bytearray(table.read_bytes())
    raw[len(raw) // 2] ^= 255
    table.write_bytes(raw)
    with pytest.raises(CorruptDataError, match="is damaged"):
        list(open_database(path).items())


def test_leveldb_is_open_in_another_process(tmp_path: Path) -> None:
    path = write_records(tmp_path / "db", raw_records(noise(3, 1, 2, 3)), "leveldb")
    database = open_database(path)
    code = "import sys; from caffe.data.sources.database import open_database as o; o(sys.argv[1])"
    done = run(code, path, check=False)
    assert "can be open in one process only" in done.stderr
    database.close()


READER = """
    import sys, json
    from caffe.data.sources.database import open_database
    database = open_database(sys.argv[1])
    cursor = database.cursor()
    print("ready", flush=True)
    wrong = 0

    def count(items):
        return sum(bytes(v) not in (bytes(k) * 300, b"other" * 700, bytes(3000)) for k, v in items)

    for i in range(60):
        if i == 50:
            sys.stdin.readline()  # the last turns come after all was written
        items = cursor.take(500)
        # as data layers do: what was read counts if nobody wrote meanwhile
        read, whole = count(items), cursor.whole(items)
        wrong += read if whole is items else count(whole)
    print(json.dumps(wrong))
"""


def test_two_processes_read_while_one_writes(tmp_path: Path) -> None:
    import lmdb

    keys = [b"%08d" % i for i in range(1000)]
    with create(tmp_path / "db", "lmdb") as writer:
        for key in keys:
            writer.put(key, key * 300)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(READER), str(tmp_path / "db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 28) as env:
        for i in range(60):
            with env.begin(write=True) as transaction:  # frees pages and fills them with other things
                for key in keys[i * 10 : i * 10 + 10]:
                    transaction.put(key, b"other" * 700)
                transaction.put(b"new %d" % i, bytes(3000))
    for reader in readers:
        out, _ = reader.communicate("written\n", timeout=60)
        assert reader.returncode == 0
        assert json.loads(out) == 0
    assert len(open_database(tmp_path / "db")) == 1060


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_read_on_in_a_forked_process(tmp_path: Path) -> None:
    path = write_records(tmp_path / "db", raw_records(noise(6, 1, 2, 3)))
    code = """
        import os, sys
        sys.path.insert(0, sys.argv[2])
        from support_data import Fed, data_text
        fed = Fed(data_text(sys.argv[1], 2))
        print(fed.step()[1].tolist(), flush=True)
        child = os.fork()
        print("child" if child == 0 else "parent", fed.step()[1].tolist(), fed.step()[1].tolist(), flush=True)
        fed.close()
        if child == 0:
            os._exit(0)
        print(os.waitpid(child, 0)[1])
    """
    done = run(code, path, Path(__file__).parents[1] / "support")
    lines = done.stdout.splitlines()
    assert sorted(lines[1:3]) == ["child [2.0, 3.0] [4.0, 5.0]", "parent [2.0, 3.0] [4.0, 5.0]"]
    assert lines[0] == "[0.0, 1.0]" and lines[3] == "0"


def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_records(tmp_path / "db", raw_records(noise(3, 1, 2, 3)))
    (tmp_path / "db" / "lock.mdb").unlink()
    monkeypatch.setattr(os, "access", lambda *args: False)
    database = open_database(path)
    assert [parse(v).label for _, v in database.items()] == [0, 1, 2]
    assert not (tmp_path / "db" / "lock.mdb").exists()
    database.close()


def test_without_plyvel(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "CURRENT").write_text("MANIFEST-1")
    code = """
        import sys
        sys.modules["plyvel"] = None
        from caffe.data.sources.database import open_database
        open_database(sys.argv[1])
    """
    done = run(code, tmp_path / "db", check=False)
    assert "MissingPackageError" in done.stderr and "caffe_torch-….whl[leveldb]" in done.stderr


def test_no_record_is_lost_when_a_conversion_is_killed(tmp_path: Path) -> None:
    code = """
        import os, sys
        from caffe.data.sources.database import create
        with create(sys.argv[1], "lmdb", resume={"a": 1}) as writer:
            for i in range(2300):
                writer.put(b"%05d" % i, b"v")
            os._exit(9)
    """
    run(code, tmp_path / "db", check=False)
    assert not (tmp_path / "db").exists()
    with create(tmp_path / "db", "lmdb", resume={"a": 1}) as writer:
        assert writer.count() == 2000


@pytest.mark.leveldb
def test_an_empty_database_says_so(tmp_path: Path) -> None:
    for backend in BACKENDS:
        with create(tmp_path / backend, backend):
            pass
        with pytest.raises(DataError, match="empty"):
            open_database(tmp_path / backend)
