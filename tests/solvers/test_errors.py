"""Solver definitions that cannot be: each an exception that says file and field, what was found, what to do."""

from __future__ import annotations

import copy
import pickle

import pytest
from support_nets import SOLVER, write_regression

import caffe
from caffe import layers as L
from caffe.errors import (
    CaffeError,
    InputError,
    InputTypeError,
    MissingFileError,
    ParseError,
    SnapshotError,
    SolverError,
)
from caffe.proto import caffe_pb2


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_regression(tmp_path)
    return tmp_path


def without(field):
    return "\n".join(line for line in SOLVER.splitlines() if not line.startswith(field + ":")) + "\n"


@pytest.mark.parametrize(
    ("solver", "field", "words"),
    [
        (SOLVER + 'type: "Adm"\n', "type", "Did you mean 'Adam'"),
        (SOLVER.replace('"multistep"', '"multi"'), "lr_policy", "Did you mean 'multistep'"),
        (without("lr_policy"), "lr_policy", "must be given"),
        (without("base_lr"), "base_lr", "must be given"),
        (without("gamma"), "gamma", "for lr_policy 'multistep'"),
        (SOLVER.replace('"multistep"', '"step"'), "stepsize", "must be given for lr_policy 'step'"),
        (SOLVER.replace('"multistep"', '"inv"'), "power", "must be given"),
        (SOLVER.replace('"multistep"', '"poly"'), "power", "must be given"),
        (SOLVER + 'type: "AdaGrad"\n', "momentum", "cannot be used with AdaGrad"),
        (SOLVER + 'type: "RMSProp"\n', "momentum", "cannot be used with RMSProp"),
        (SOLVER + 'regularization_type: "L3"\n', "regularization_type", "must be L2 or L1"),
        (SOLVER + 'train_net: "net.prototxt"\n', "train_net", "exactly once"),
        (without("net"), "net", "exactly once"),
        (without("test_iter"), "test_iter", "no test net has a test_iter"),
        (without("test_interval"), "test_interval", "at least 1"),
        (SOLVER + 'test_net: "net.prototxt"\ntest_net: "net.prototxt"\n', "test_iter", "each of the 2"),
        (SOLVER + "iter_size: 0\n", "iter_size", "at least 1"),
        (SOLVER.replace("average_loss: 3", "average_loss: 0"), "average_loss", "at least 1"),
        (SOLVER.replace("test_iter: 2", "test_iter: 0"), "test_iter", "at least 1"),
        (SOLVER.replace("base_lr: 0.05", "base_lr: nan"), "base_lr", "must be a finite number; got nan"),
        (SOLVER + "weight_decay: inf\n", "weight_decay", "must be a finite number; got inf"),
        (SOLVER.replace("max_iter: 30", "max_iter: -1"), "max_iter", "must be at least 0; got -1"),
        (SOLVER.replace('"snap"', '"no/such/folder/snap"'), "snapshot_prefix", "mkdir -p"),
    ],
)
def test_definitions(folder, solver, field, words):
    (folder / "solver.prototxt").write_text(solver)
    with pytest.raises(SolverError) as caught:
        caffe.get_solver("solver.prototxt")
    assert caught.value.field == field
    assert words in str(caught.value)
    assert "solver.prototxt" in str(caught.value)


def test_a_typo_in_a_field(folder):
    (folder / "solver.prototxt").write_text(SOLVER.replace("momentum:", "momentun:"))
    with pytest.raises(ParseError) as caught:
        caffe.SGDSolver("solver.prototxt")
    assert caught.value.line == 6
    assert "momentum" in str(caught.value)


def test_missing_files(folder):
    with pytest.raises(MissingFileError, match=r"nowhere\.prototxt"):
        caffe.SGDSolver("nowhere.prototxt")
    (folder / "solver.prototxt").write_text(SOLVER.replace("net.prototxt", "gone.prototxt"))
    with pytest.raises(MissingFileError, match=r"gone\.prototxt"):
        caffe.SGDSolver("solver.prototxt")


def test_unwritable_snapshots_are_found_before_training(folder):
    (folder / "place").write_text("a file where a folder should be")
    (folder / "solver.prototxt").write_text(SOLVER.replace('"snap"', '"place/snap"'))
    with pytest.raises(SolverError, match="snapshot_prefix"):
        caffe.SGDSolver("solver.prototxt")


def test_every_error_derives_from_the_fitting_builtin():
    assert issubclass(SolverError, ValueError)
    assert issubclass(MissingFileError, FileNotFoundError)
    assert issubclass(CaffeError, Exception)


def test_step_takes_a_number():
    solver = caffe.SGDSolver("solver.prototxt")
    with pytest.raises(TypeError, match="number of iterations"):
        solver.step("3")
    with pytest.raises(InputTypeError, match=r"iterations; got 1\.5"):
        solver.step(1.5)
    solver.step(3 / 1.0)
    assert solver.iter == 3


def test_what_a_solver_is_asked_in_vain():
    solver = caffe.SGDSolver("solver.prototxt")
    solver.step(-1)  # as in the original: nothing
    assert solver.iter == 0
    with pytest.raises(TypeError, match=r"path of a \.solverstate; got None"):
        solver.restore(None)
    with pytest.raises(InputError, match="one of 1 test net"):
        solver.test(1)
    with pytest.raises(InputTypeError, match="takes a Net; got None"):
        solver.share_weights(None)
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(InputTypeError, match=r"solver\.snapshot\(\)"):
            copied(solver)


def test_steps_out_of_order_are_said(folder, capsys, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    (folder / "solver.prototxt").write_text(SOLVER.replace("stepvalue: 20", "stepvalue: 3"))
    caffe.SGDSolver("solver.prototxt")
    assert "stepvalue should grow; got 8, 3" in capsys.readouterr().err


def test_nan_stops_with_its_first_place(folder):
    (folder / "solver.prototxt").write_text(SOLVER)
    solver = caffe.SGDSolver("solver.prototxt")
    solver.stop_at_nan = True
    solver.net.params["two"][0].data[1, 2] = float("nan")
    with pytest.raises(SolverError, match=r"parameter 0 of layer 'two' \(InnerProduct\)"):
        solver.step(1)


def test_snapshots_stay_within_the_folders_named(tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    monkeypatch.setenv("CAFFE_OUTPUT_FOLDERS", str(tmp_path / "inside"))
    n = caffe.NetSpec()
    n.data = L.DummyData(shape=dict(dim=[2, 3]))
    n.ip = L.InnerProduct(n.data, num_output=4)
    param = caffe_pb2.SolverParameter(
        base_lr=0.1, lr_policy="fixed", snapshot_prefix=str(tmp_path / "s"), snapshot=5
    )
    param.net_param.CopyFrom(n.to_proto())
    with pytest.raises(SolverError, match=r"snapshot_prefix.*must write within .*inside"):
        caffe.SGDSolver(param)
    param.snapshot = 0  # by hand only
    solver = caffe.SGDSolver(param)
    with pytest.raises(SnapshotError, match=r"must write within .*inside"):
        solver.snapshot()
    assert not list(tmp_path.glob("s_iter*"))
    solver.param.snapshot_prefix = str(tmp_path / "inside" / "s")
    assert solver.snapshot().is_file()
