"""caffe db."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from support_data import jpeg, noise, raw_records, smooth, write_records

from caffe.cli.db import main as db
from caffe.data.sources.database import open_database
from caffe.formats.datum import Datum, parse


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_records(tmp_path / "raw", raw_records(noise(5, 3, 6, 4), [2, 0, 2, 1, 2]))
    encoded = [Datum(data=jpeg(smooth(9, 7, i)), label=i, encoded=True) for i in range(3)]
    encoded[1].data = encoded[1].data[:50]
    write_records(tmp_path / "encoded", encoded, "leveldb")
    return tmp_path


@pytest.mark.leveldb
def test_ls_and_head(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert db(["ls", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert f"{folder}/raw  lmdb  5 records" in printed and f"{folder}/encoded  leveldb  3 records" in printed
    picture = folder / "sheet.png"
    assert db(["head", str(folder / "raw"), "--count=3", f"--picture={picture}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "00000000  3×6×4 uint8, label 2" and len(lines) == 4
    sheet = cv2.imread(str(picture))
    assert sheet.shape[1] > 3 * 128 and (sheet != 255).any()
    assert db(["head", str(folder / "raw"), f"--picture={folder}/no/sheet.png"]) == 1
    assert db(["head", str(folder / "row")]) == 1
    assert "Did you mean 'raw'?" in capsys.readouterr().err


@pytest.mark.leveldb
def test_stat(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert db(["stat", str(folder / "raw")]) == 0
    printed = capsys.readouterr().out
    assert "5 records of lmdb" in printed and "3×6×4 uint8: 5" in printed and "  2: 3\n" in printed


@pytest.mark.leveldb
def test_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert db(["verify", str(folder / "raw")]) == 0
    assert "5 records, 0 damaged" in capsys.readouterr().out
    assert db(["verify", str(folder / "encoded")]) == 1
    printed = capsys.readouterr().out
    assert "00000001: " in printed and "3 records, 1 damaged" in printed


@pytest.mark.leveldb
def test_merge_and_subset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = str(folder / "both")
    assert db(["merge", str(folder / "raw"), str(folder / "encoded"), both]) == 0
    merged = {bytes(k).decode(): bytes(v) for k, v in open_database(both).items()}
    assert list(merged)[:2] == ["0_00000000", "0_00000001"] and len(merged) == 8
    assert db(["subset", both, str(folder / "few"), "--labels=2", "--count=3", "--backend=leveldb"]) == 0
    few = {bytes(k).decode(): bytes(v) for k, v in open_database(folder / "few").items()}
    assert list(few) == ["0_00000000", "0_00000002", "0_00000004"]
    assert all(merged[k] == v and parse(v).label == 2 for k, v in few.items())
    assert db(["subset", both, str(folder / "odd"), "--start=1", "--every=2"]) == 0
    assert [bytes(k).decode() for k, _ in open_database(folder / "odd").items()] == list(merged)[1::2]
    assert db(["subset", both, str(folder / "none"), "--labels=77"]) == 1
    assert not (folder / "none").exists()
    assert "No record" in capsys.readouterr().err
