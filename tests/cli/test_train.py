"""caffe train and what looks at its runs: TensorBoard, the hint after a stop, joined plots."""

from __future__ import annotations

import sys

import pytest
from support_nets import SOLVER, write_regression

from caffe import training_log
from caffe.cli import plot, train


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_regression(tmp_path)
    return tmp_path


def test_tensorboard(folder):
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def scalars():
        found = EventAccumulator("board")
        found.Reload()
        return {tag: {e.step: e.value for e in found.Scalars(tag)} for tag in found.Tags()["scalars"]}

    assert train.main(["--solver=solver.prototxt", "--tensorboard=board"]) == 0
    whole = scalars()
    assert set(whole) == {"train/smoothed_loss", "train/lr", "train/loss", "test/loss"}
    assert list(whole["train/loss"]) == list(whole["train/smoothed_loss"]) == [0, 5, 10, 15, 20, 25, 30]
    assert list(whole["test/loss"]) == [0, 10, 20, 30]
    rates = {0: 0.05, 5: 0.05, 10: 0.025, 15: 0.025, 20: 0.0125, 25: 0.0125, 30: 0.0125}
    assert whole["train/lr"] == pytest.approx(rates)
    rows = training_log.read("snap_metrics.jsonl").test
    assert whole["test/loss"] == pytest.approx({r["NumIters"]: r["loss"] for r in rows})
    again = ["--solver=solver.prototxt", "--tensorboard=board", "--snapshot=snap_iter_14.solverstate"]
    assert train.main(again) == 0
    assert scalars()["test/loss"] == pytest.approx(whole["test/loss"])  # no step twice, none lost


def test_without_tensorboard_nothing_is_begun(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    (folder / "snap_metrics.jsonl").write_text("an earlier run")
    assert train.main(["--solver=solver.prototxt", "--tensorboard=board"]) == 1
    said = capsys.readouterr().err
    assert "pip install -e '.[tensorboard]'" in said and "Layer" not in said
    assert (folder / "snap_metrics.jsonl").read_text() == "an earlier run"


def test_without_max_iter_it_says_so(folder, capsys, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    (folder / "solver.prototxt").write_text(SOLVER.replace("max_iter: 30", ""))
    assert train.main(["--solver=solver.prototxt"]) == 0
    assert "no max_iter" in capsys.readouterr().err


def test_pieces_of_a_run_are_joined(folder):
    assert train.main(["--solver=solver.prototxt", "--iterations=17"]) == 0
    (folder / "snap_metrics.jsonl").rename("first.jsonl")
    assert train.main(["--solver=solver.prototxt", "--snapshot=snap_iter_14.solverstate"]) == 0
    pieces = [training_log.read(name) for name in ("first.jsonl", "snap_metrics.jsonl")]
    assert [r["NumIters"] for r in pieces[1].train] == [15, 20, 25, 30]
    joined = training_log.join(pieces)
    assert [r["NumIters"] for r in joined.train] == [0, 5, 10, 15, 20, 25, 30]
    assert [r["NumIters"] for r in joined.test] == [0, 10, 20, 30]
    seconds = [r["Seconds"] for r in joined.train]
    assert seconds == sorted(seconds)
    assert joined.train[3] == pieces[1].train[0] | {"Seconds": seconds[3]}
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    assert plot.main(["first.jsonl", "snap_metrics.jsonl", "--join", "--out=joined.png"]) == 0
    assert (folder / "joined.png").stat().st_size > 1000
