"""What a page is told of a net."""

from __future__ import annotations

import pytest
from support_assets import assets

import caffe
from caffe.display import summary_rows
from caffe.formats import prototxt
from caffe.models.definitions import definition
from caffe.proto import caffe_pb2
from caffe.web import analysis, blocks

NET = """
name: "small"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 20 dim: 24 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 5 } }
"""


def analysed(text, **how):
    return analysis.analyse(prototxt.parse_net(text), **how)


def by_name(found):
    return {layer["name"]: layer for layer in found["layers"]}


def test_shapes_costs_and_fields():
    layers = by_name(analysed(NET))
    conv = layers["conv"]
    assert conv["shapes"] == {"conv": [2, 4, 9, 11]}
    assert conv["params"] == [[4, 3, 3, 3], [4]]
    assert conv["count"] == 112
    assert conv["multiply_adds"] == 2 * 4 * 9 * 11 * 27
    assert conv["memory"] == 4 * 2 * 4 * 9 * 11
    assert conv["field"] == {"size": (3, 3), "step": (2, 2)}
    assert layers["pool"]["field"] == {"size": (5, 5), "step": (4, 4)}
    assert layers["ip"]["field"]["size"] == (-1, -1)
    assert layers["relu"]["memory"] == 0
    assert conv["short"] == "3×3 /2, 4"


def test_layers_in_place_join_their_bottom():
    found = analysed(NET)
    assert [unit["layers"] for unit in found["units"]] == [[0], [1, 2], [3], [4]]
    assert [unit["bottoms"] for unit in found["units"]] == [[], [0], [1], [2]]


@pytest.mark.parametrize("name", ["lenet", "squeezenet_v1.1", "bvlc_googlenet"])
def test_equals_the_built_net(name):
    text = str(definition(name).deploy)
    layers = by_name(analysed(text))
    for row in summary_rows(caffe.Net(prototxt.parse_net(text), caffe.TEST)):
        shown = layers[row.name]
        assert {k: tuple(v) for k, v in shown["shapes"].items()} == row.tops
        assert (shown["count"], shown["multiply_adds"], shown["memory"]) == (
            row.param_count,
            row.multiply_adds,
            row.memory,
        )


def test_a_mistake_is_marked_and_the_rest_shown():
    found = analysed(NET.replace('bottom: "pool"', 'bottom: "poll"'))
    layers = by_name(found)
    assert layers["ip"]["error"]["field"] == "bottom"
    assert layers["ip"]["error"]["line"] == 8
    assert "pool" in layers["ip"]["error"]["fix"]
    assert layers["pool"]["shapes"] == {"pool": [2, 4, 5, 6]}
    assert [error["layer"] for error in found["errors"]] == ["ip"]


def test_a_blob_of_another_phase_is_told():
    found = analysed(NET.replace('type: "Input"', 'type: "Input" include { phase: TRAIN }', 1))
    assert "--phase" in by_name(found)["conv"]["error"]["fix"]


def test_what_is_behind_a_mistake_has_no_shapes():
    layers = by_name(analysed(NET.replace("kernel_size: 3", "kernel_size: 50")))
    assert layers["conv"]["error"] and not layers["pool"]["error"]
    assert layers["pool"]["shapes"] == {}


def test_python_layers_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "hostile.py").write_text(f"open(r'{tmp_path}/ran', 'w')")
    monkeypatch.chdir(tmp_path)
    net = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "p" type: "Python" bottom: "x" top: "y" python_param { module: "hostile" layer: "L" } }"""
    layers = by_name(analysed(net))
    assert not (tmp_path / "ran").exists()
    assert not layers["p"]["error"] and "--python" in layers["p"]["notes"][0]


def test_data_layers_need_no_data():
    net = """layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
      data_param { source: "/nowhere/mnist_lmdb" batch_size: 7 backend: LMDB } }
    layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }
      data_param { source: "/nowhere/x_lmdb" batch_size: 5 backend: LMDB } transform_param { crop_size: 9 } }"""
    train = analysed(net, phase=caffe_pb2.TRAIN)
    assert train["layers"][0]["shapes"] == {"data": [7, 1, 28, 28], "label": [7]}
    assert "guess" in train["layers"][0]["notes"][0]
    assert train["left_out"] == 1
    assert analysed(net)["layers"][0]["shapes"] == {"data": [5, 3, 9, 9], "label": [5]}


def unit(sign, *bottoms):
    return blocks.Unit([], sign, list(bottoms))


def test_branches_that_meet_are_a_block():
    #  0 → 1 → {2, 3} → 4 → 5
    groups = blocks.fold(
        [unit("a"), unit("b", 0), unit("c", 1), unit("c", 1), unit("join", 2, 3), unit("e", 4)],
        ["data", "conv", "mix1_a", "mix1_b", "mix1_out", "end"],
    )
    assert [(g.kind, g.name, g.units) for g in groups] == [("block", "mix1", [2, 3, 4])]


def test_repeated_blocks_are_a_run():
    units, names = [unit("in")], ["in"]
    for k in range(5):  # residual blocks: two layers, and a way around them
        start = len(units) - 1
        units += [unit("conv", start), unit("conv", start + 1), unit("sum", start, start + 2)]
        names += [f"res{k}_a", f"res{k}_b", f"res{k}"]
    groups = blocks.fold(units, names)
    runs = [g for g in groups if g.kind == "run"]
    assert [(g.name, g.repeats, g.groups) for g in runs] == [("res0 … res4", 5, [0, 1, 2, 3, 4])]
    assert all(groups[i].parent == len(groups) - 1 for i in range(5))


def test_repeated_pairs_are_a_run():
    units = [unit("in")]
    units += [unit("dw" if k % 2 == 0 else "pw", k) for k in range(8)]
    (run,) = blocks.fold(units, ["in", *(f"l{k}" for k in range(8))])
    assert (run.kind, run.repeats, run.units) == ("run", 4, list(range(1, 9)))


def test_resnet_152_folds_into_few():
    folder = (
        "zoo/foss-for-synopsys-dwc-arc-processors+synopsys-caffe-models/caffe_models/resnet_152/caffe_model"
    )
    path = assets(*folder.split("/"), "resnet_v2_152_convert.prototxt")
    found = analysis.analyse(prototxt.read_net(path))
    assert len(found["layers"]) > 500 and not found["errors"]
    assert found["totals"]["count"] == 60_382_848
    assert sorted(g["repeats"] for g in found["groups"] if g["kind"] == "run") == [6, 34]
