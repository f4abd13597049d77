"""caffe plot: what is drawn, of which files."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time

import pytest

from caffe.cli import plot

pytest.importorskip("matplotlib", reason="needs the extra plot")
from caffe import training_log
from caffe.cli import _curves


def write(path, losses, scores=()):
    rows = [
        dict(kind="train", iter=10 * k, seconds=k / 2, lr=0.1, loss=v, outputs={"loss": [v]})
        for k, v in enumerate(losses)
    ]
    rows += [
        dict(kind="test", net=0, iter=30 * k, seconds=k, lr=0.1, outputs={"accuracy": [v]})
        for k, v in enumerate(scores)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(tmp_path, monkeypatch, look=None, **runs):
    """The labels and points of what is drawn."""
    import matplotlib.pyplot as plt

    axes = []
    monkeypatch.setattr(plt, "close", lambda figure: axes.extend(figure.axes))
    _curves.require()
    _curves.draw(runs, tmp_path / "x.png", look or _curves.Look())
    found = [
        (line.get_label(), list(line.get_xdata()), list(line.get_ydata())) for a in axes for line in a.lines
    ]
    monkeypatch.undo()
    plt.close("all")
    return found


def test_smoothing_starts_at_the_first_value_and_passes_over_nan():
    assert _curves.smoothed([4.0] * 5, 0.9) == pytest.approx([4.0] * 5)
    found = _curves.smoothed([2.0, math.nan, 4.0], 0.5)
    assert found == pytest.approx([2.0, 2.0, (0.25 * 2 + 0.5 * 4) / 0.75])


def test_long_curves_are_smoothed_with_the_raw_behind(tmp_path, monkeypatch):
    run = training_log.read(write(tmp_path / "a_metrics.jsonl", [5.0 - k / 50 for k in range(100)]))
    drawn = lines(tmp_path, monkeypatch, a=run)
    assert len(drawn) == 3 and drawn[1][0] == "loss (smoothed)"
    assert drawn[0][2] == [row["loss"] for row in run.train] and drawn[1][2] != drawn[0][2]
    drawn = lines(tmp_path, monkeypatch, look=_curves.Look(smooth=0), a=run)
    assert drawn[0][0] == "loss" and len(drawn) == 2


def test_the_best_points_are_marked(tmp_path, monkeypatch):
    run = training_log.read(write(tmp_path / "a_metrics.jsonl", [3.0, 2.0], [0.1, 0.8, math.nan, 0.8, 0.7]))
    drawn = lines(tmp_path, monkeypatch, a=run)
    assert any(label == "test accuracy (best 0.8)" for label, _, _ in drawn)
    assert ([30.0], [0.8]) in [(xs, ys) for _, xs, ys in drawn]  # the first of two that are equal


def test_takes_folders_prefixes_and_files(tmp_path, capsys):
    (tmp_path / "runs" / "b").mkdir(parents=True)
    write(tmp_path / "runs" / "a_metrics.jsonl", [3.0, 2.0])
    write(tmp_path / "runs" / "b" / "a_metrics.jsonl", [3.0, 1.0], [0.5, 0.6])
    found = plot._runs([str(tmp_path / "runs")], False)
    assert list(found) == [f"{tmp_path}/runs/a", f"{tmp_path}/runs/b/a"]
    assert list(plot._runs([str(tmp_path / "runs" / "a")], False)) == ["a"]
    for ending in ("svg", "pdf"):
        out = tmp_path / f"x.{ending}"
        assert (
            plot.main([str(tmp_path / "runs"), f"--out={out}", "--dark", "--log_scale", "--x=seconds"]) == 0
        )
        assert out.stat().st_size > 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs", "x.pdf", "x.svg"]
    assert plot.main([str(tmp_path / "absent"), f"--out={tmp_path}/y.png"]) == 1
    assert "absent" in capsys.readouterr().err and not (tmp_path / "y.png").exists()


@pytest.mark.skipif(
    not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="needs signals to processes"
)
def test_live_draws_again_when_a_run_goes_on(tmp_path):
    log, out = write(tmp_path / "a_metrics.jsonl", [3.0, 2.0]), tmp_path / "live.svg"
    run = subprocess.Popen(
        [sys.executable, "-m", "caffe", "plot", str(log), f"--out={out}", "--live"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert "Wrote" in run.stdout.readline()
        before = out.read_bytes()
        write(log, [3.0, 2.0, 1.0, 0.5])
        deadline = time.monotonic() + 60
        while out.read_bytes() == before and time.monotonic() < deadline:
            time.sleep(0.1)
        assert out.read_bytes() != before
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=30) == 0
    finally:
        run.kill()
        run.stdout.close()
