"""Model folders and archives from strangers: nothing is written outside, nothing fills memory, all faults are ours."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile

import numpy as np
import pytest

from caffe import errors
from caffe.formats import binaryproto, model_folder

DEPLOY = b'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'


def member(name, content=b"", kind=tarfile.REGTYPE, link=""):
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = len(content), kind, link
    return entry, content


def archive(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for entry, content in members:
            tar.addfile(entry, io.BytesIO(content))
    return path


JOB = (member("job/deploy.prototxt", DEPLOY), member("job/snapshot_iter_9.caffemodel", b""))


def test_a_job_of_digits_is_unpacked_without_its_folders(tmp_path):
    found = model_folder.read(archive(tmp_path / "job.tar.gz", *JOB, member("labels.txt", b"a\nb\n")))
    assert found.deploy.read_bytes() == DEPLOY and found.labels == ["a", "b"]


def test_names_and_links_that_lead_elsewhere(tmp_path):
    (tmp_path / "here").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    outside = [
        member("../victim", b"evil"),
        member(str(victim), b"evil"),
        member("link", kind=tarfile.SYMTYPE, link=str(tmp_path)),
        member("link/victim", b"evil"),
        member("hard", kind=tarfile.LNKTYPE, link="/etc/passwd"),
        member("mean.binaryproto", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("fifo", kind=tarfile.FIFOTYPE),
    ]
    found = model_folder.read(archive(tmp_path / "here" / "job.tar.gz", *JOB, *outside))
    assert victim.read_text() == "mine" and sorted(os.listdir(tmp_path)) == ["here", "victim"]
    assert not any(path.is_symlink() for path in found.folder.iterdir())
    assert sorted(os.listdir(found.folder)) == ["deploy.prototxt", "snapshot_iter_9.caffemodel", "victim"]
    assert found.mean == ()


def pax(size):
    """A header of so many bytes in front of a file, as tarfile reads it in one piece."""
    entry = tarfile.TarInfo("././@PaxHeader")
    entry.type, entry.size = tarfile.XHDTYPE, size
    return gzip.compress(entry.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 20))


def damaged():
    packed = bytearray(gzip.compress(os.urandom(4096)))
    packed[200:220] = bytes(20)
    return bytes(packed)


ARCHIVES = {
    "empty": b"",
    "no gzip": b"x" * 600,
    "no tar": gzip.compress(b"x" * 600),
    "damaged": damaged(),
    "cut short": gzip.compress(os.urandom(4096))[:2000],
    "a header of 3 GB": pax(3 << 30),
    "a header of no size": pax(-1 & 0o77777777777),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_are_none(tmp_path, name):
    (tmp_path / "job.tar.gz").write_bytes(ARCHIVES[name])
    with pytest.raises(errors.DataError, match=r"no \.tar\.gz of a model"):
        model_folder.read(tmp_path / "job.tar.gz")


def test_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "_MOST_UNPACKED", 1 << 20)
    monkeypatch.setattr(model_folder, "_MOST_MEMBERS", 50)
    bomb = archive(tmp_path / "bomb.tar.gz", *JOB, member("weights.caffemodel", bytes(2 << 20)))
    assert bomb.stat().st_size < 1 << 14
    with pytest.raises(errors.DataError, match="more than 0 GiB"):
        model_folder.read(bomb)
    passed_over = archive(tmp_path / "passed.tar.gz", member("a", bytes(3 << 20), b"Z"), *JOB)
    with pytest.raises(errors.DataError, match="it holds more than 0 GiB"):
        model_folder.read(passed_over)
    with pytest.raises(errors.DataError, match="more than 50 entries"):
        model_folder.read(archive(tmp_path / "many.tar.gz", *[member(f"{i}") for i in range(60)]))


def described(**change):
    how = {"mean": [1, 2, 3], "scale": 1, "channels": "RGB", "resize": [8, 9], **change.pop("how", {})}
    return json.dumps({"format": 1, "preprocessing": how, "classes": ["a"], **change})


DESCRIPTIONS = {
    "deep": "[" * 100_000,
    "a list": "[]",
    "no text": "\udcff",
    "another format": described(format=2),
    "an endless number": '{"format": ' + "9" * 5000 + "}",
    "a mean of letters": described(how={"mean": "abc"}),
    "an endless size": described(how={"resize": [1e400, 3]}),
    "a size that fills memory": described(how={"resize": [1 << 30, 1 << 30]}),
    "a negative size": described(how={"resize": [-1, 5]}),
    "classes that are a number": described(classes=5),
    "metrics that are a list": described(metrics=[1]),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions_that_cannot_be(tmp_path, name):
    (tmp_path / "deploy.prototxt").write_bytes(DEPLOY)
    (tmp_path / "weights.caffemodel").write_bytes(b"")
    (tmp_path / "model.json").write_text(described())
    assert model_folder.read(tmp_path).resize == (8, 9)
    (tmp_path / "model.json").write_text(DESCRIPTIONS[name], errors="surrogateescape")
    with pytest.raises(errors.DataError, match=r"model\.json"):
        model_folder.read(tmp_path)


def test_a_mean_that_is_no_image(tmp_path):
    (tmp_path / "deploy.prototxt").write_bytes(DEPLOY)
    (tmp_path / "a.caffemodel").write_bytes(b"")
    binaryproto.write_blob(tmp_path / "mean.binaryproto", np.ones(3, np.float32))
    with pytest.raises(errors.DataError, match=r"must hold an image; got shape \[3\]"):
        model_folder.read(tmp_path)
