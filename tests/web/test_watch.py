"""Runs together on a page, and the page of a training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

pytest.importorskip("starlette", reason="needs starlette")

SOLVER = 'base_lr: {rate} lr_policy: "fixed" max_iter: 60'


def write_run(path, begin, losses, rate):
    rows = [
        {
            "run": begin,
            "kind": "train",
            "iter": 20 * i,
            "seconds": 1.5 * i,
            "lr": rate,
            "loss": v,
            "outputs": {"loss": [v]},
        }
        for i, v in enumerate(losses)
    ]
    rows.append(
        {
            "run": begin,
            "kind": "test",
            "iter": 60,
            "seconds": 9.0,
            "lr": rate,
            "outputs": {"accuracy": [0.5 + rate]},
        }
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    layers = {"kind": "layers", "iter": 40, "values": {"conv1": {"ratio": 0.00123, "dead": 3, "units": 20}}}
    beside = path.with_name(path.name.replace("_metrics", "_layers"))
    beside.write_text(
        json.dumps({"kind": "solver", "text": SOLVER.format(rate=rate)}) + "\n" + json.dumps(layers) + "\n"
    )


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path / "net_metrics.jsonl", "20200101-000000", [2.3, 1.1, 0.7], 0.1)
    write_run(tmp_path / "net_run2_metrics.jsonl", "20200102-000000", [2.2, 0.9, 0.5], 0.2)
    write_run(tmp_path / "net2_metrics.jsonl", "20200103-000000", [2.1, 0.8, 0.6], 0.1)
    for name, day in (("net_iter_20", "2020-01-01"), ("net_iter_60", "2020-01-02")):
        (tmp_path / f"{name}.caffemodel").write_bytes(b"x" * 50)
        stamp = time.mktime(time.strptime(day + " 12", "%Y-%m-%d %H"))
        os.utime(tmp_path / f"{name}.caffemodel", (stamp, stamp))
    return tmp_path


def test_runs_of_a_prefix_and_whose_snapshots_are(folder):
    from caffe.web.runs import RunsDocument

    found = RunsDocument.of_paths([str(folder / "net")]).json()["runs"]
    assert [run["name"] for run in found] == ["net", "net_run2"]
    assert [[s["file"] for s in run["snapshots"]] for run in found] == [
        ["net_iter_20.caffemodel"],
        ["net_iter_60.caffemodel"],
    ]
    assert found[1]["snapshots"][0]["scores"] == {"accuracy": 0.7}
    assert found[0]["settings"]["base_lr"] == 0.1


def test_names_of_logs():
    from pathlib import Path

    from caffe.web import runs

    names = ("a_metrics.jsonl", "train.log", "log_0.01", "caffe.host.INFO")
    assert [runs._run(Path(n)).name for n in names] == ["a", "train", "log_0.01", "caffe.host.INFO"]


def test_a_run_that_begins_later_is_taken_in(tmp_path, monkeypatch):
    from caffe.errors import MissingFileError
    from caffe.web import runs

    with pytest.raises(MissingFileError):
        runs.RunsDocument.of_paths([str(tmp_path / "net")])
    document = runs.RunsDocument.of_paths([str(tmp_path / "net")], wait=True)
    assert document.json()["runs"] == []
    monkeypatch.setattr(runs, "_LOOK_SECONDS", 0.0)
    write_run(tmp_path / "net_metrics.jsonl", "20200101-000000", [2.3, 1.1], 0.1)
    assert [run["name"] for run in document.json()["runs"]] == ["net"]


def test_three_runs_in_the_browser(folder, tmp_path):
    import support_browser

    from caffe.web import hosting, server
    from caffe.web.runs import RunsDocument

    browser = support_browser.launch(tmp_path / "profile")
    document = RunsDocument.of_paths([str(folder)])
    url, stop = hosting.in_background(server.application(server.Site(lambda: [document], lambda _: None)))
    try:
        browser.open(url)
        browser.wait("return document.querySelectorAll('.chart canvas').length >= 3")
        text = browser.text()
        for said in ("net_run2", "net2", "base_lr", "0.2", "accuracy 0.7", "1.2e-3", "3 / 20"):
            assert said in text
        assert "null" not in text
        differing = browser.run(
            "return [...document.querySelectorAll('tr.differs th')].map(e => e.textContent)"
        )
        assert differing == ["base_lr"]
        points = browser.run(
            "return [...document.querySelectorAll('.chart')]"
            ".map(e => [e.querySelector('figcaption').textContent, e.dataset.points])"
        )
        assert ["loss", "9"] in points and ["accuracy", "3"] in points
        for width in (1400, 390):  # charts fill the page, and no more
            browser.driver.set_window_size(width, 900)
            browser.wait(
                "let all = document.querySelector('.charts').clientWidth;"
                "let charts = [...document.querySelectorAll('.chart canvas')].map(e => e.getBoundingClientRect());"
                "return charts.every(c => c.right <= innerWidth) && (all < 900) !== (charts[0].top === charts[1].top)"
            )
        write_run(folder / "net2_metrics.jsonl", "20200103-000000", [2.1, 0.8, 0.6, 0.55], 0.1)
        browser.wait("return [...document.querySelectorAll('.chart')].some(e => e.dataset.points === '10')")
        assert browser.complaints() == []
        if os.environ.get("CAFFE_TEST_PICTURES"):
            browser.driver.save_screenshot(os.environ["CAFFE_TEST_PICTURES"] + "/runs.png")
    finally:
        stop()
        browser.driver.quit()


NET = """layer { name: "d" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 } data_filler { type: "gaussian" std: 1 }
    data_filler { type: "constant" } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def test_train_watch(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" display: 5 max_iter: 20 snapshot_prefix: "run"'
    )
    done = subprocess.run(
        [sys.executable, "-m", "caffe", "train", "--solver=solver.prototxt", "--watch"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, env=os.environ | {"BROWSER": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run_layers.jsonl").exists() and (tmp_path / "run_metrics.jsonl").exists()
    refused = subprocess.run(
        [sys.executable, "-m", "caffe", "train", "--solver=solver.prototxt", "--watch", "--nometrics"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert refused.returncode != 0 and "--nometrics" in refused.stderr
