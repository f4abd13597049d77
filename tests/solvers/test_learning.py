"""How each layer learns, as written beside the metrics."""

from __future__ import annotations

import json

import numpy as np

import caffe
from caffe.solvers import learning

NET = """layer { name: "d" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 2 dim: 7 dim: 9 } shape { dim: 4 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 6 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "r" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "fixed" type: "InnerProduct" bottom: "c1" top: "fixed" param { lr_mult: 0 } param { lr_mult: 0 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "fixed" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def make(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" display: 2 max_iter: 5 '
        f'snapshot_prefix: "{tmp_path}/run"'
    )
    caffe.set_random_seed(3)
    return caffe.SGDSolver(str(tmp_path / "solver.prototxt"))


def test_ratio_and_dead_units(tmp_path):
    solver = make(tmp_path)
    solver.net.params["c1"][1].data[[1, 4]] = -1e6  # two units are dead
    before = {name: solver.net.params[name][0].data.copy() for name in ("c1", "ip")}
    solver.step(1)
    found = learning.layers(solver)
    assert set(found) == {"c1", "ip"}  # the one that does not learn is not there
    for name, old in before.items():
        new = solver.net.params[name][0].data
        expected = np.linalg.norm(new - old) / np.linalg.norm(new)
        np.testing.assert_allclose(found[name]["ratio"], expected, rtol=2e-3)
    assert (found["c1"]["dead"], found["c1"]["units"]) == (2, 6)
    assert "dead" not in found["ip"]


def test_file(tmp_path):
    solver = make(tmp_path)
    path = tmp_path / "run_layers.jsonl"
    solver.solve(callbacks=[learning.Learning(path)])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["kind"] for row in rows][:3] == ["solver", "layers", "filters"]
    assert "base_lr: 0.1" in rows[0]["text"]
    assert rows[1]["iter"] == 0 and rows[1]["values"]["c1"]["ratio"] > 0
    assert rows[2]["layer"] == "c1" and rows[2]["picture"].startswith("data:image/png;base64,")
