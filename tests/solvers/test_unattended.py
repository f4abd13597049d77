"""Training that nobody watches: one run a prefix, the newest snapshots, the watchdog, files of two snapshots."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from support_nets import write_regression

import caffe
from caffe import errors
from caffe.cli import train
from caffe.solvers import unattended


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_regression(tmp_path)
    return tmp_path


def names(folder, ending):
    return sorted(p.name for p in folder.glob(f"*{ending}"))


def test_the_newest_snapshots_stay(folder):
    text = (folder / "solver.prototxt").read_text()
    (folder / "solver.prototxt").write_text(text + "\nsnapshot_format: BINARYPROTO")
    (folder / "snap_iter_1.caffemodel").write_bytes(b"old")
    (folder / "snap_iter_9000.caffemodel").write_bytes(b"of a run that was longer")
    (folder / "snapper_iter_1.caffemodel").write_bytes(b"of another prefix")
    (folder / "snap_iter_1.notes").write_bytes(b"not ours")
    assert train.main(["--solver=solver.prototxt", "--keep=2", "--best=loss"]) == 0
    assert len(names(folder, ".solverstate")) == len(names(folder, ".trainstate")) == 2
    assert "snap_iter_30.caffemodel" in names(folder, ".caffemodel")
    left = {"snap_iter_9000.caffemodel", "snapper_iter_1.caffemodel", "snap_best.caffemodel"}
    assert left <= set(names(folder, ".caffemodel")) and len(names(folder, ".caffemodel")) == 5
    assert (folder / "snap_iter_1.notes").exists() and not (folder / "snap_iter_1.caffemodel").exists()


def test_two_runs_of_one_prefix(folder, capsys):
    with unattended.alone("snap"):
        assert train.main(["--solver=solver.prototxt"]) == 1
        said = capsys.readouterr().err
        assert f"Another run trains with the prefix 'snap' (process {os.getpid()}, since" in said
    assert train.main(["--solver=solver.prototxt"]) == 0
    assert not (folder / "snap.lock").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
def test_a_lock_ends_with_its_process(folder):
    program = "import os\nfrom caffe.solvers import unattended\nwith unattended.alone('snap'): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 9
    assert (folder / "snap.lock").exists()
    with unattended.alone("snap"):
        pass


def test_what_a_killed_run_left_half_written_goes(folder):
    for name in (
        ".snap_iter_3.caffemodel.x1.tmp",
        ".snap_best.caffemodel.x.tmp",
        ".snapper_iter_3.solverstate.x.tmp",
    ):
        (folder / name).write_bytes(b"half")
    with unattended.alone("snap"):
        assert names(folder, ".tmp") == [".snap_best.caffemodel.x.tmp", ".snapper_iter_3.solverstate.x.tmp"]


def test_the_watchdog_says_where_it_stands(folder):
    program = """
import time, caffe
from caffe.solvers import unattended
class Stands(caffe.solvers.callbacks.Callback):
    def on_iteration(self, solver, loss):
        if solver.iter == 3: time.sleep(2)
solver = caffe.get_solver("solver.prototxt")
solver.solve(callbacks=[unattended.Watchdog(0.5), Stands()])
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Timeout (0:00:00.500000)" in done.stderr and "in on_iteration" in done.stderr


def test_files_of_two_snapshots(folder, monkeypatch, capsys):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    for name, rate in (("one", 0.01), ("two", 0.02)):
        os.mkdir(name)
        param = caffe.get_solver("solver.prototxt").param
        param.snapshot_prefix, param.base_lr = f"{name}/s", rate
        solver = caffe.SGDSolver(param)
        solver.step(3)
        solver.snapshot()
    again = caffe.get_solver("solver.prototxt")
    again.restore("one/s_iter_3.solverstate")
    assert "belongs to another" not in capsys.readouterr().err
    shutil.copy("two/s_iter_3.trainstate", "one/s_iter_3.trainstate")
    caffe.get_solver("solver.prototxt").restore("one/s_iter_3.solverstate")
    assert "belongs to another solver state of this name, and is passed over" in capsys.readouterr().err


@pytest.mark.parametrize("make", [lambda: unattended.KeepSnapshots(0), lambda: unattended.Watchdog(0)])
def test_what_cannot_be(make):
    with pytest.raises(errors.SolverError):
        make()
