"""A resumed run equals the uninterrupted one, bit for bit; broken snapshots are never taken."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support_nets import SOLVER, weights, write_regression

import caffe
from caffe.errors import CaffeError, MissingFileError, SnapshotError
from caffe.precision import LossScale
from caffe.solvers import snapshot


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_regression(tmp_path)
    return tmp_path


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_resumed_equals_uninterrupted(folder, form, kind):
    extra = f'type: "{kind}"\nsnapshot_format: {form}\n'
    (folder / "solver.prototxt").write_text(SOLVER + extra)
    whole = caffe.get_solver("solver.prototxt")
    whole.solve()
    ending = ".h5" if form == "HDF5" else ""
    resumed = caffe.get_solver("solver.prototxt")
    resumed.solve(f"snap_iter_14.solverstate{ending}")
    assert resumed.iter == whole.iter == 30
    for a, b in zip(weights(whole), weights(resumed)):
        assert np.array_equal(a, b)
    assert resumed.loss_window == whole.loss_window
    assert resumed.lr == whole.lr


def test_shuffled_data_resumes_where_it_was(folder):
    text = (folder / "net.prototxt").read_text().replace("batch_size: 6", "batch_size: 6 shuffle: true")
    (folder / "net.prototxt").write_text(text)
    whole = caffe.get_solver("solver.prototxt")
    whole.solve()
    resumed = caffe.get_solver("solver.prototxt")
    resumed.solve("snap_iter_21.solverstate")
    for a, b in zip(weights(whole), weights(resumed)):
        assert np.array_equal(a, b)


def test_float16s_loss_scale_is_taken_up(folder):
    caffe.set_amp("fp16")
    whole = caffe.get_solver("solver.prototxt")
    whole.step(1)
    whole.update.loss_scale = LossScale(512.0, 1990)
    whole.solve()
    resumed = caffe.get_solver("solver.prototxt")
    resumed.solve("snap_iter_14.solverstate")
    scale = resumed.update.loss_scale
    assert (scale.value, scale.good) == (whole.update.loss_scale.value, whole.update.loss_scale.good)
    assert scale.value == 1024.0  # 2000 good updates were counted across the resumption
    for a, b in zip(weights(whole), weights(resumed)):
        assert np.array_equal(a, b)


def test_newest_passes_over_broken_snapshots(folder):
    solver = caffe.get_solver("solver.prototxt")
    solver.step(21)
    assert snapshot.newest("snap").name == "snap_iter_21.solverstate"
    broken = folder / "snap_iter_21.caffemodel"
    broken.write_bytes(broken.read_bytes()[:50])
    assert snapshot.newest("snap").name == "snap_iter_14.solverstate"
    (folder / "snap_iter_14.solverstate").write_bytes(b"")
    assert snapshot.newest("snap").name == "snap_iter_7.solverstate"
    assert snapshot.newest("other") is None


def test_a_failing_snapshot_leaves_the_old_one(folder, monkeypatch):
    solver = caffe.get_solver("solver.prototxt")
    solver.step(7)
    before = {p.name: p.read_bytes() for p in folder.glob("snap_iter_7*")}
    monkeypatch.setattr(
        os, "replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    solver.step(1)
    with pytest.raises(SnapshotError, match="No space left"):
        solver.snapshot()
    assert {p.name: p.read_bytes() for p in folder.glob("snap_iter_*")} == before


class TestBadStates:
    def test_missing(self):
        with pytest.raises(MissingFileError, match="no such solver state"):
            caffe.get_solver("solver.prototxt").restore("nowhere.solverstate")

    def test_weights_given_as_state(self):
        solver = caffe.get_solver("solver.prototxt")
        solver.step(7)
        with pytest.raises(SnapshotError, match=r"--weights=snap_iter_7.caffemodel"):
            solver.restore("snap_iter_7.caffemodel")

    def test_of_another_net(self, folder):
        solver = caffe.get_solver("solver.prototxt")
        solver.step(7)
        text = (folder / "net.prototxt").read_text().replace("num_output: 7", "num_output: 9")
        (folder / "net.prototxt").write_text(text)
        other = caffe.get_solver("solver.prototxt")
        before = weights(other)
        with pytest.raises(SnapshotError, match=r"must have shape \[9, 5\].*got \[7, 5\]") as caught:
            other.restore("snap_iter_7.solverstate")
        assert caught.value.layer == "one"
        assert all(np.array_equal(a, b) for a, b in zip(before, weights(other)))

    def test_of_another_solver_type(self, folder):
        caffe.get_solver("solver.prototxt").step(7)
        (folder / "solver.prototxt").write_text(SOLVER + 'type: "Adam"\n')
        with pytest.raises(SnapshotError, match="history"):
            caffe.get_solver("solver.prototxt").restore("snap_iter_7.solverstate")

    @pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
    def test_truncated(self, folder, form):
        (folder / "solver.prototxt").write_text(SOLVER + f"snapshot_format: {form}\n")
        solver = caffe.get_solver("solver.prototxt")
        solver.step(7)
        path = next(folder.glob("snap_iter_7.solverstate*"))
        data = path.read_bytes()
        for size in (len(data) // 2, len(data) - 3, 10):
            path.write_bytes(data[:size])
            with pytest.raises(CaffeError):
                solver.restore(path)


HANGS = 600
"""Seconds after which a process counts as hanging: a machine that does other work may take minutes."""


def run_train(folder, *flags):
    return subprocess.Popen(
        [sys.executable, "-m", "caffe", "train", "--solver=solver.prototxt", "--nometrics", *flags],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "0"},
    )


def test_kill_at_random_moments(folder):
    """kill -9 in training and in snapshots; ``--resume=auto`` always continues, to the same weights."""
    times = int(os.environ.get("CAFFE_TEST_KILLS", "3"))
    solver = SOLVER.replace("max_iter: 30", "max_iter: 600").replace("snapshot: 7", "snapshot: 3")
    (folder / "solver.prototxt").write_text(solver.replace("display: 5", "display: 0"))
    whole = run_train(folder)
    assert whole.wait(timeout=HANGS) == 0, whole.stderr.read()
    expected = (folder / "snap_iter_600.caffemodel").read_bytes()
    for path in folder.glob("snap_iter_*"):
        path.unlink()
    rng = random.Random(5)
    killed = 0
    for _ in range(times):
        process = run_train(folder, "--resume=auto")
        deadline = time.monotonic() + HANGS
        seen = len(list(folder.glob("*.solverstate")))
        while len(list(folder.glob("*.solverstate"))) <= seen and process.poll() is None:
            assert time.monotonic() < deadline, "no snapshot was written"
            time.sleep(0.001)
        time.sleep(rng.random() * 0.03)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        process.stderr.close()
    assert killed > 0
    last = run_train(folder, "--resume=auto")
    errors = last.stderr.read().decode()
    assert last.wait(timeout=HANGS) == 0, errors
    assert "Resuming from" in errors or "Optimization Done" in errors
    assert (folder / "snap_iter_600.caffemodel").read_bytes() == expected


def test_interrupt_snapshots_and_resumes(folder):
    solver = SOLVER.replace("max_iter: 30", "max_iter: 100000").replace("snapshot: 7", "snapshot: 0")
    (folder / "solver.prototxt").write_text(solver)
    process = run_train(folder)
    for line in process.stderr:
        if b"Iteration 20" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read().decode()
    assert process.wait(timeout=HANGS) == 0
    assert "Optimization stopped early." in rest
    states = list(folder.glob("snap_iter_*.solverstate"))
    assert len(states) == 1
    iteration = int(states[0].stem.split("_")[-1])
    again = run_train(folder, f"--snapshot={states[0].name}", f"--iterations={iteration + 5}")
    assert "Resuming from" in again.stderr.read().decode()
    assert again.wait(timeout=HANGS) == 0
    assert (folder / f"snap_iter_{iteration + 5}.caffemodel").exists()
