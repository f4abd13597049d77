"""Every solver against what the original recorded, step by step, and after restoring its snapshots."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from support_assets import GOLDEN

import caffe
from caffe.proto import caffe_pb2
from caffe.solvers.setup import RULES, rule_named

CASES = sorted((GOLDEN / "solvers").glob("*.npz"))


def close(found, recorded, what, scale=None):
    scale = np.abs(recorded).max() if scale is None else scale
    assert np.abs(np.asarray(found) - recorded).max() <= 1e-5 * max(scale, 1e-12), what


@pytest.fixture
def case(request, tmp_path, monkeypatch):
    """The recorded case with its files laid out in a folder, which is the working folder."""
    record = np.load(request.param)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(str(record["net"]))
    (tmp_path / "solver.prototxt").write_text(str(record["solver"]))
    (tmp_path / "list.txt").write_text("d.h5\n")
    with h5py.File("d.h5", "w") as file:
        file["x"], file["t"] = record["x"], record["t"]
    return record


def compare(solver, record, steps):
    scale = np.abs(record["loss"]).max()
    for k in steps:
        solver.step(1)
        close(solver.net.blobs["loss"].data, record["loss"][k], f"loss of step {k}", scale)
        close(solver.lr, record["lr"][k], f"lr after step {k}")
        for key in (k for k in record if k.startswith("param/")):
            _, layer, i = key.split("/")
            close(solver.net.params[layer][int(i)].data, record[key][k], f"{key} after step {k}")


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.stem, indirect=True)
def test_every_step_agrees(case):
    solver = caffe.get_solver("solver.prototxt")
    for key in (k for k in case if k.startswith("init/")):
        _, layer, i = key.split("/")
        solver.net.params[layer][int(i)].data[...] = case[key]
    compare(solver, case, range(len(case["loss"])))


WITH_SNAPSHOT = [p for p in CASES if "snapshot_iter" in np.load(p)]


@pytest.mark.parametrize("case", WITH_SNAPSHOT, ids=lambda p: p.stem, indirect=True)
def test_the_originals_snapshots_restore(case, tmp_path):
    start = int(case["snapshot_iter"])
    ending = "_h5" if "solverstate_h5" in case else ""
    state = tmp_path / f"snap_iter_{start}.solverstate{ending.replace('_', '.')}"
    model = tmp_path / f"snap_iter_{start}.caffemodel{ending.replace('_', '.')}"
    state.write_bytes(case["solverstate" + ending].tobytes())
    model.write_bytes(case["caffemodel" + ending].tobytes())
    solver = caffe.get_solver("solver.prototxt")
    # The original's states hold no data cursor, so bring the data to the record's place.
    for _ in range(start * solver.param.iter_size):
        solver.net.forward()
    solver.restore(str(state))
    assert solver.iter == start
    for key in (k for k in case if k.startswith("param/")):
        _, layer, i = key.split("/")
        close(solver.net.params[layer][int(i)].data, case[key][start - 1], key)
    compare(solver, case, range(start, len(case["loss"])))


@pytest.mark.parametrize("case", WITH_SNAPSHOT[:2], ids=lambda p: p.stem, indirect=True)
def test_our_snapshots_have_the_originals_form(case):
    solver = caffe.get_solver("solver.prototxt")
    solver.step(3)
    state = solver.snapshot()
    if state.suffix == ".h5":
        with h5py.File(state) as file:
            assert set(file) == {"iter", "learned_net", "current_step", "history"}
            assert int(file["iter"][()]) == 3
    else:
        found = caffe_pb2.SolverState.FromString(state.read_bytes())
        assert found.iter == 3
        assert [list(b.shape.dim) for b in found.history][:2] == [[6, 5], [6]]


@pytest.mark.parametrize("kind", sorted(RULES))
def test_an_update_in_pieces_is_the_same(kind, monkeypatch):
    from caffe.solvers import rule

    param = caffe_pb2.SolverParameter(rms_decay=0.9)
    if kind not in ("AdaGrad", "RMSProp"):
        param.momentum = 0.8
    results = []
    for piece, whole in ((1 << 18, 1 << 20), (10, 12)):
        monkeypatch.setattr(rule, "_PIECE", piece)
        monkeypatch.setattr(rule, "_WHOLE", whole)
        torch.manual_seed(2)
        shapes = [(3, 4), (5,), (7, 6), (2,), (11,)]
        values, grads, *history = ([torch.rand(s) for s in shapes] for _ in range(4))
        found = rule_named(kind)(param)
        updates = found.apply(values, grads, history[: found.slots], 0.1, 0.01, 3)
        results.append([*values, *updates, *history[0], *history[1]])
    for whole, cut in zip(*results):
        torch.testing.assert_close(whole, cut, rtol=1e-6, atol=1e-7)
