"""caffe.NCCL: the way of the original's train.py."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from support_assets import ROOT
from support_parallel import SLOW, Processes, weights, worst, write_database, write_solver

import caffe

SETTINGS = "type: 'SGD' base_lr: 0.05 momentum: 0.9"


def test_two_processes_with_a_python_layer_train_as_one(tmp_path):
    write_database(tmp_path)
    layer = SLOW.format(seconds=0)
    solver = write_solver(
        tmp_path, "two", 6, SETTINGS + " snapshot: 20 snapshot_format: HDF5", iters=20, more=layer
    )
    with Processes() as processes:
        run = processes.start(
            sys.executable, ROOT / "examples" / "train_multi.py", "--solver", solver, "--procs", 2
        )
        output = run.communicate(timeout=120)[0]
    assert run.returncode == 0, output
    alone = caffe.get_solver(str(write_solver(tmp_path, "one", 12, SETTINGS, iters=20, more=layer)))
    alone.step(20)
    # the snapshot of the parallel run loads in a single one
    loaded = caffe.get_solver(str(tmp_path / "one.prototxt"))
    loaded.net.copy_from(str(tmp_path / "two_iter_20.caffemodel.h5"))
    assert worst(weights(loaded.net), weights(alone.net)) <= 1e-5
    # only the root logs the iterations
    assert output.count("Iteration 19 (") == 1 and "loss = " in output
    assert output.count("Snapshotting to HDF5") == 1


@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_the_timing_hooks_of_train_py(tmp_path, monkeypatch, backend):
    """Its callbacks are pairs of functions and hooks around layers; here with one process."""
    monkeypatch.chdir(tmp_path)
    write_database(tmp_path)
    solver = caffe.SGDSolver(str(write_solver(tmp_path, "timed", 4, SETTINGS)))
    assert caffe.has_nccl()
    nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
    try:
        nccl.bcast()
        solver.workers.backend = backend  # NCCL's reductions are watched while they run
        order = []
        total = caffe.Timer()
        solver.add_callback(lambda: total.start(), lambda: total.stop())
        solver.add_callback(nccl)
        solver.add_callback(lambda: "", lambda: order.append("reduced"))
        solver.net.after_backward(lambda layer: order.append(layer))
        solver.net.after_backward(nccl)
        before = weights(solver.net)
        solver.step(2)
        assert order == [*range(9, -1, -1), "reduced"] * 2
        assert worst(weights(solver.net), before) > 1e-3
        with pytest.raises(caffe.errors.StateError, match="already trains"):
            caffe.NCCL(solver, caffe.NCCL.new_uid())
    finally:
        solver.workers.close()


def test_bad_arguments(tmp_path):
    write_database(tmp_path)
    solver = caffe.SGDSolver(str(write_solver(tmp_path, "s", 4, SETTINGS)))
    with pytest.raises(caffe.errors.InputError, match="new_uid"):
        caffe.NCCL(solver, 5)
    caffe.set_solver_rank(1)
    try:
        with pytest.raises(caffe.errors.InputError, match="less than the solver count, 1; got 1"):
            caffe.NCCL(solver, caffe.NCCL.new_uid())
    finally:
        caffe.set_solver_rank(0)


def test_uids_differ():
    assert caffe.NCCL.new_uid() != caffe.NCCL.new_uid()
    assert (
        type(caffe.NCCL.new_uid()) is bytes
    )  # as pycaffe's, so that scripts may pickle, decode, or compare it


def test_an_address_may_be_given_as_text(tmp_path):
    write_database(tmp_path)
    solver = caffe.SGDSolver(str(write_solver(tmp_path, "s", 4, SETTINGS)))
    try:
        caffe.NCCL(solver, caffe.NCCL.new_uid().decode())
    finally:
        solver.workers.close()


def test_a_missing_worker_is_an_error(tmp_path):
    write_database(tmp_path)
    solver = caffe.SGDSolver(str(write_solver(tmp_path, "s", 4, SETTINGS)))
    caffe.set_solver_count(2)
    try:
        with pytest.raises(caffe.errors.DistributedError, match=r"2 workers did not come together .* 1 s"):
            caffe.NCCL(solver, caffe.NCCL.new_uid(), timeout=1)
    finally:
        caffe.set_solver_count(1)
    assert np.isfinite(weights(solver.net)["ip2/0"]).all()
