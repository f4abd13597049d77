"""The training loop: order, displays, tests, hooks, fine-tuning."""

from __future__ import annotations

import json
import re
import signal

import numpy as np
import pytest
from support_nets import SOLVER, weights, write_regression

import caffe
from caffe import logs
from caffe.proto import caffe_pb2
from caffe.solvers.callbacks import BestSnapshot, Callback, EarlyStopping
from caffe.solvers.lr_policy import LRPolicy
from caffe.solvers.metrics import Metrics
from caffe.solvers.signals import Action, SignalActions


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_regression(tmp_path)
    return tmp_path


@pytest.fixture
def lines(monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    found = []
    logs.redirect(found.append)
    yield found
    logs.redirect(None)


def messages(lines):
    return [line.split("] ", 1)[1] for line in lines]


def test_the_originals_words_in_the_originals_order(lines):
    caffe.get_solver("solver.prototxt").solve()
    found = messages(lines)
    shapes = [re.sub(r"-?\d[\d.e+-]*", "N", m) for m in found]
    assert found[0] == "Solving regression"
    assert found[1] == "Learning Rate Policy: multistep"
    assert shapes[2] == "Iteration N, Testing net (#N)"
    assert shapes[3] == "    Test net output #N: loss = N (* N = N loss)"
    assert shapes[4] == "Iteration N (N iter/s, Ns/N iters), loss = N"
    assert shapes[5] == "    Train net output #N: loss = N (* N = N loss)"
    assert shapes[6] == "Iteration N, lr = N"
    assert "Snapshotting to binary proto file snap_iter_7.caffemodel" in found
    assert "Snapshotting solver state to binary proto file snap_iter_7.solverstate" in found
    assert found.index("MultiStep Status: Iteration 8, step = 1") > 0
    assert found[-1] == "Optimization Done."
    assert all(re.match(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+\.py:\d+\] ", line) for line in lines)


def test_train_and_test_nets_share_weights_from_the_start():
    solver = caffe.SGDSolver("solver.prototxt")
    solver.net.params["one"][0].data[2, 3] = 42
    assert solver.test_nets[0].params["one"][0].data[2, 3] == 42
    solver.step(2)
    for a, b in zip(solver.net.params["two"], solver.test_nets[0].params["two"]):
        assert np.shares_memory(a.data, b.data)


def test_smoothed_loss_is_the_mean_of_the_window(folder):
    (folder / "solver.prototxt").write_text(SOLVER.replace("average_loss: 3", "average_loss: 4"))
    solver = caffe.SGDSolver("solver.prototxt")
    losses = []

    class Record(Callback):
        def on_gradients_ready(self, solver):
            losses.append(float(solver.net.blobs["loss"].data))

    solver.add_callback(Record())
    solver.step(9)
    assert float(solver.loss_window[1]) == pytest.approx(np.mean(losses[-4:]), rel=1e-5)


def test_add_callback_in_pycaffes_form():
    solver = caffe.SGDSolver("solver.prototxt")
    calls = []
    solver.add_callback(lambda: calls.append("start"), lambda: calls.append("ready"))
    solver.step(2)
    assert calls == ["start", "ready"] * 2


def test_base_lr_is_settable_while_training():
    solver = caffe.SGDSolver("solver.prototxt")
    solver.step(1)
    solver.param.base_lr = 0.001
    assert solver.lr == pytest.approx(0.001)


def test_apply_update_by_hand():
    solver = caffe.SGDSolver("solver.prototxt")
    solver.net.clear_param_diffs()
    solver.net.forward()
    solver.net.backward()
    before, grad = weights(solver), solver.net.params["two"][0].diff.copy()
    solver.apply_update()
    assert solver.iter == 1
    moved = before[2] - solver.net.params["two"][0].data
    assert np.allclose(moved, 0.05 * grad, atol=1e-7)
    # the diff is now the update, as in the original
    assert np.allclose(solver.net.params["two"][0].diff, moved, atol=1e-7)


@pytest.mark.parametrize("momentum", ["0", "0.9"])
def test_the_diff_and_the_history_hold_the_update(folder, momentum):
    (folder / "solver.prototxt").write_text(SOLVER.replace("momentum: 0.9", f"momentum: {momentum}"))
    solver = caffe.SGDSolver("solver.prototxt")
    before = weights(solver)
    solver.step(1)
    for i, (a, b) in enumerate(zip(before, weights(solver))):
        blob = solver.update.params[i].blob
        assert np.abs(b - a).max() > 0
        np.testing.assert_allclose(blob.diff, a - b, atol=1e-6)
        np.testing.assert_allclose(solver.update.history[i].array(), a - b, atol=1e-6)


def test_early_stopping_and_best_snapshot(folder):
    (folder / "solver.prototxt").write_text(
        SOLVER.replace("max_iter: 30", "max_iter: 500").replace("test_interval: 10", "test_interval: 2")
    )
    solver = caffe.SGDSolver("solver.prototxt")
    best = BestSnapshot("loss", folder / "best.caffemodel")
    solver.solve(callbacks=[EarlyStopping("loss", patience=3), best])
    assert solver.iter < 500
    assert (folder / "best.caffemodel").exists()
    assert np.isfinite(best.best)


def test_early_stopping_names_the_outputs():
    solver = caffe.SGDSolver("solver.prototxt")
    with pytest.raises(KeyError, match="Did you mean 'loss'"):
        solver.solve(callbacks=[EarlyStopping("los")])


def test_metrics_files(folder):
    solver = caffe.SGDSolver("solver.prototxt")
    solver.solve(callbacks=[Metrics("snap")])
    rows = [json.loads(line) for line in (folder / "snap_metrics.jsonl").read_text().splitlines()]
    assert [r["iter"] for r in rows if r["kind"] == "train"] == [0, 5, 10, 15, 20, 25, 30]
    assert [r["iter"] for r in rows if r["kind"] == "test"] == [0, 10, 20, 30]
    header, first = (folder / "snap_train.csv").read_text().splitlines()[:2]
    assert header == "NumIters,Seconds,LearningRate,loss"
    assert re.match(r"0,[\d.]+,0\.05,\d\.\d{1,6}$", first)


def test_metrics_of_a_resumed_run_have_no_iteration_twice(folder):
    caffe.SGDSolver("solver.prototxt").solve(callbacks=[Metrics("snap")])
    solver = caffe.SGDSolver("solver.prototxt")
    solver.restore("snap_iter_14.solverstate")
    solver.solve(callbacks=[Metrics("snap", append=True, start_iter=14)])
    rows = [json.loads(line) for line in (folder / "snap_metrics.jsonl").read_text().splitlines()]
    assert [r["iter"] for r in rows if r["kind"] == "train"] == [0, 5, 10, 15, 20, 25, 30]
    assert len({r["run"] for r in rows}) == 1
    dropped = [json.loads(line) for line in (folder / "snap_metrics_from_14.jsonl").read_text().splitlines()]
    assert [r["iter"] for r in dropped if r["kind"] == "train"] == [15, 20, 25, 30]


def test_metrics_of_an_earlier_run_stay(folder):
    for _ in range(2):
        caffe.SGDSolver("solver.prototxt").solve(callbacks=[Metrics("snap")])
    Metrics("snap").on_end(caffe.SGDSolver("solver.prototxt"))  # a run that ended before its first iteration
    before = {
        path: path.read_bytes() for path in folder.glob("snap_*.*") if path.suffix in (".jsonl", ".csv")
    }
    assert {path.name for path in before} == {
        f"snap{run}_{name}" for run in ("", "_run2") for name in ("metrics.jsonl", "train.csv", "test.csv")
    }
    solver = caffe.SGDSolver("solver.prototxt")
    solver.restore("snap_iter_14.solverstate")
    solver.solve(callbacks=[Metrics("snap", append=True, start_iter=14)])
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed == {"snap_run2_metrics.jsonl", "snap_run2_train.csv", "snap_run2_test.csv"}


def test_three_interrupts_of_a_whole_run_are_three_snapshots():
    signals = SignalActions(Action.SNAPSHOT)
    with signals.installed():
        for _ in range(4):
            signal.raise_signal(signal.SIGINT)
            assert signals.take() is Action.SNAPSHOT
        with pytest.raises(KeyboardInterrupt):
            for _ in range(3):  # within one iteration, which does not come to its end
                signal.raise_signal(signal.SIGINT)


def test_fine_tuning_lists_what_was_not_matched(folder, lines):
    solver = caffe.SGDSolver("solver.prototxt")
    solver.step(1)
    solver.net.save("old.caffemodel")
    text = (folder / "net.prototxt").read_text().replace('name: "two"', 'name: "new"')
    (folder / "net.prototxt").write_text(text)
    (folder / "solver.prototxt").write_text(SOLVER + 'weights: "old.caffemodel"\n')
    tuned = caffe.SGDSolver("solver.prototxt")
    assert np.array_equal(tuned.net.params["one"][0].data, solver.net.params["one"][0].data)
    said = next(m for m in messages(lines) if m.startswith("Weights of old.caffemodel"))
    assert "not in this net: two" in said
    assert "left as they were: new" in said


def test_iter_size_equals_one_larger_batch(folder):
    net = (folder / "net.prototxt").read_text()
    net = "\n".join(line for line in net.splitlines() if "Dropout" not in line)
    results = []
    for batch, size in ((6, 1), (2, 3)):
        (folder / "net.prototxt").write_text(net.replace("batch_size: 6", f"batch_size: {batch}"))
        (folder / "solver.prototxt").write_text(SOLVER + f"iter_size: {size}\n")
        solver = caffe.SGDSolver("solver.prototxt")
        solver.step(3)
        results.append(weights(solver))
    for a, b in zip(*results):
        assert np.allclose(a, b, atol=1e-6)


def test_debug_info_lines(folder, lines):
    (folder / "solver.prototxt").write_text(SOLVER + "debug_info: true\n")
    caffe.SGDSolver("solver.prototxt").step(1)
    found = messages(lines)
    assert any(m.startswith("    [Forward] Layer one, top blob h data: ") for m in found)
    assert any(m.startswith("    [Forward] Layer one, param blob 0 data: ") for m in found)
    assert any(m.startswith("    [Backward] Layer two, bottom blob h diff: ") for m in found)
    assert any(m.startswith("    [Backward] All net params (data, diff): L1 norm = ") for m in found)


def policy(**fields):
    return LRPolicy(caffe_pb2.SolverParameter(**fields))


class TestPolicies:
    """Formulas of the policies beyond the recorded ones."""

    def test_inv(self):
        assert policy(lr_policy="inv", base_lr=0.01, gamma=0.1, power=0.75).rate(40) == pytest.approx(
            0.01 * 5**-0.75
        )

    def test_poly_ends_at_zero(self):
        p = policy(lr_policy="poly", base_lr=0.5, power=2, max_iter=10)
        assert [p.rate(i) for i in (0, 5, 10)] == pytest.approx([0.5, 0.125, 0])

    def test_multistep_takes_one_step_a_value(self):
        p = policy(lr_policy="multistep", base_lr=1, gamma=0.5, stepvalue=[3, 5])
        assert [p.rate(i) for i in range(7)] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]

    def test_cosine(self):
        p = policy(lr_policy="cosine", base_lr=1, max_iter=8, min_lr=0.5)
        assert [p.rate(i) for i in (0, 4, 8)] == pytest.approx([1, 0.75, 0.5])

    def test_warm_up_goes_straight_to_the_policy(self):
        p = policy(lr_policy="fixed", base_lr=1, warmup_iter=4, warmup_start_lr=0.2)
        assert [p.rate(i) for i in (0, 2, 4, 9)] == pytest.approx([0.2, 0.6, 1, 1])

    def test_plateau_steps_when_the_loss_stays(self):
        p = policy(lr_policy="plateau", base_lr=1, gamma=0.1, plateau_winsize=[3, 5])
        for i, loss in enumerate([5, 4, 4.5, 4.5, 4.5, 4.5]):
            p.observe(i, loss)
        assert p.current_step == 1
        assert p.rate(6) == pytest.approx(0.1)
