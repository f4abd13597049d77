"""Signals at any time in training: the run ends, or goes on, with whole snapshots, and can be resumed exactly."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from support_nets import SOLVER, write_regression

import caffe
from caffe.cli import train
from caffe.formats import atomic
from caffe.net.net import Net
from caffe.solvers import snapshot
from caffe.solvers.update import Update

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")

WHERE = {
    "in an iteration": (Update, "apply", 9),  # the ninth: the first snapshot is of the seventh
    "in a test": (Net, "forward_loss", 11),  # ten of training, then the first of two batches of a test
    "while weights are written": (Net, "save", 1),
    "while a file is taken to its place": (atomic, "_flush", 3),
    "while the state is written": (snapshot.binaryproto, "write_solver_state", 1),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_regression(tmp_path, SOLVER + "snapshot_format: BINARYPROTO\ntest_initialization: false\n")
    return tmp_path


def at(monkeypatch, where, *numbers):
    """Send signals to this process in a call of what is named in ``WHERE``."""
    owner, name, count = WHERE[where]
    own, left = getattr(owner, name), [count]

    def call(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            for number in numbers:
                os.kill(os.getpid(), number)
        return own(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)


def weights(path="snap_iter_30.caffemodel"):
    net = caffe.Net("net.prototxt", path, caffe.TRAIN)
    return [np.array(blob.data) for blobs in net.params.values() for blob in blobs]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", WHERE)
def test_a_signal(folder, monkeypatch, where, number):
    assert train.main(["--solver=solver.prototxt", "--nometrics"]) == 0
    wanted = weights()
    for path in folder.glob("snap_iter_*"):
        path.unlink()
    with monkeypatch.context() as patch:
        at(patch, where, number)
        assert train.main(["--solver=solver.prototxt", "--nometrics"]) == 0
    newest = snapshot.newest("snap")
    ended = int(newest.stem.split("_")[-1])
    if number == signal.SIGHUP:
        assert ended == 30
    else:
        assert 7 <= ended <= 10
        assert train.main(["--solver=solver.prototxt", "--nometrics", "--resume=auto"]) == 0
    for left, right in zip(weights(), wanted, strict=True):
        np.testing.assert_array_equal(left, right)
    assert not list(folder.glob(".*")) and not (folder / "snap.lock").exists()


@pytest.mark.parametrize("where", WHERE)
def test_whoever_insists_ends_it_at_once(folder, monkeypatch, where):
    with monkeypatch.context() as patch:
        at(patch, where, signal.SIGINT, signal.SIGTERM, signal.SIGINT)
        assert train.main(["--solver=solver.prototxt", "--nometrics"]) == 130
    newest = snapshot.newest("snap")
    assert newest is None or "iter_7" in newest.name
    assert not list(folder.glob(".*")) and not (folder / "snap.lock").exists()
    assert train.main(["--solver=solver.prototxt", "--nometrics", "--resume=auto"]) == 0
    assert len(weights()) == 4
