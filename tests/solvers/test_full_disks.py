"""Disks that are full and folders that are gone: an error of ours, the last snapshot whole, nothing half-written."""

from __future__ import annotations

import contextlib
import shutil

import cv2
import numpy as np
import pytest
from support_nets import SOLVER, write_regression

import caffe
from caffe import errors
from caffe.cli import convert_imageset
from caffe.solvers import snapshot

resource = pytest.importorskip("resource", reason="Windows has no limits of files")


@contextlib.contextmanager
def full(size):
    """A disk that takes no file of more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_regression(tmp_path)
    return tmp_path


@pytest.mark.parametrize("size", [0, 100, 1500, 4000])
@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_snapshots_on_a_full_disk(folder, form, size):
    (folder / "solver.prototxt").write_text(SOLVER + f"snapshot_format: {form}\n")
    solver = caffe.get_solver("solver.prototxt")
    solver.step(7)
    whole = snapshot.newest("snap")
    solver.step(1)
    with (
        full(size),
        pytest.raises(errors.SnapshotError, match="snapshot of iteration 8 could not be written"),
    ):
        solver.snapshot()
    assert not list(folder.glob(".*")) and snapshot.newest("snap") == whole
    solver.snapshot()
    caffe.get_solver("solver.prototxt").restore(snapshot.newest("snap"))
    assert "iter_8" in snapshot.newest("snap").name


def test_a_folder_that_is_gone(folder):
    (folder / "solver.prototxt").write_text(SOLVER.replace('"snap"', '"out/snap"'))
    (folder / "out").mkdir()
    solver = caffe.get_solver("solver.prototxt")
    solver.step(7)
    shutil.rmtree("out")
    with pytest.raises(errors.SnapshotError, match=r"could not be written.*No such file"):
        solver.snapshot()
    (folder / "out").mkdir()
    solver.snapshot()
    assert snapshot.newest("out/snap") is not None


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_converting_on_a_full_disk(folder, backend, capsys):
    if backend == "leveldb":
        pytest.importorskip("plyvel", reason="needs the extra leveldb")
    for i in range(3):
        cv2.imwrite(f"{i}.png", np.full((40, 50, 3), 40 * i, np.uint8))
    (folder / "list.txt").write_text("".join(f"{i % 3}.png {i}\n" for i in range(30)))
    with full(10_000):
        assert convert_imageset.main([f"--backend={backend}", f"{folder}/", "list.txt", "out"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said and "out" in said
    assert not (folder / "out").exists()
    assert convert_imageset.main([f"--backend={backend}", f"{folder}/", "list.txt", "out"]) == 0
