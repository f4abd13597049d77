"""caffe train --run and --early_stop, and caffe runs."""

import json

import pytest

from caffe.cli import runs, train

NET = """
layer { name: "d" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 5 dim: 7 } shape { dim: 5 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {
  num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "0")
    (tmp_path / "net.prototxt").write_text(NET, encoding="utf-8")
    for name, rate in (("solver", 0.5), ("slow", 0.0)):
        (tmp_path / f"{name}.prototxt").write_text(
            f'net: "net.prototxt" base_lr: {rate} lr_policy: "fixed" max_iter: 12 display: 2 snapshot: 6'
            " test_iter: 2 test_interval: 2 random_seed: 3 solver_mode: CPU",
            encoding="utf-8",
        )
    return tmp_path


def test_a_run_is_in_one_folder_and_goes_on_there(folder):
    assert train.main(["--solver=solver.prototxt", "--run=first", "--iterations=6"]) == 0
    here = folder / "runs" / "first"
    kinds = {p.name for p in here.iterdir()}
    assert {"solver.prototxt", "net.prototxt", "run.json", "train.log", "first_metrics.jsonl"} <= kinds
    assert "first_iter_6.caffemodel" in kinds
    assert sorted(p.name for p in folder.iterdir()) == [
        "net.prototxt",
        "runs",
        "slow.prototxt",
        "solver.prototxt",
    ]
    assert train.main(["--solver=solver.prototxt", "--run=first", "--resume=auto"]) == 0
    assert (here / "first_iter_12.caffemodel").is_file() and len(list((folder / "runs").iterdir())) == 1
    log = (here / "train.log").read_text(encoding="utf-8")
    assert log.count("Starting Optimization") == 2 and "Iteration 12" in log


def test_its_solver_trains_the_same(folder):
    assert train.main(["--solver=solver.prototxt", "--run=first"]) == 0
    weights = folder / "runs" / "first" / "first_iter_12.caffemodel"
    before = weights.read_bytes()
    weights.unlink()
    assert train.main(["--solver=runs/first/solver.prototxt"]) == 0
    assert weights.read_bytes() == before


def test_a_dry_run_makes_nothing(folder):
    assert train.main(["--solver=solver.prototxt", "--run=first", "--dry_run"]) == 0
    assert not (folder / "runs").exists()


def test_early_stop(folder):
    """Nothing is learned at a rate of 0: the third test after the best one ends it."""
    (folder / "net.prototxt").write_text(NET.replace('type: "gaussian"', "value: 0.5"), encoding="utf-8")
    assert train.main(["--solver=slow.prototxt", "--run=a", "--early_stop=loss", "--patience=3"]) == 0
    assert (folder / "runs" / "a" / "a_iter_6.caffemodel").is_file()
    assert "has not improved for 3 tests" in (folder / "runs" / "a" / "train.log").read_text(encoding="utf-8")
    assert train.main(["--solver=slow.prototxt", "--patience=0"]) == 2


def test_the_table(folder, capsys):
    for name in ("solver", "slow"):
        assert train.main([f"--solver={name}.prototxt", f"--run={name}"]) == 0
    capsys.readouterr()
    assert runs.main(["--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {"solver", "slow"}  # a log beside the metrics is no run of its own
    assert rows["solver"]["iteration"] == 12 and rows["solver"]["snapshots"] == 2
    assert rows["solver"]["best"]["loss"]["value"] < rows["slow"]["best"]["loss"]["value"]
    assert runs.main(["--sort=loss", "--settings"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["Run", "Iterations", "Loss"] and head.split()[-1] == "base_lr"
    assert [line.split()[0] for line in lines] == ["solver", "slow"]
    assert [line.split()[-1] for line in lines] == ["0.5", "0.0"]


def test_mistakes(folder, capsys):
    assert runs.main([]) == 2 and "no folder 'runs'" in capsys.readouterr().err
    assert train.main(["--solver=solver.prototxt", "--run=first", "--iterations=2"]) == 0
    capsys.readouterr()
    assert runs.main(["--sort=los"]) == 2 and "'loss'" in capsys.readouterr().err
    assert runs.main(["absent"]) == 1 and "absent" in capsys.readouterr().err
    assert train.main(["--solver=solver.prototxt", "--run=../x/..", "--iterations=2"]) == 1
