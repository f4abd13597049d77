"""Split layers stand where the original puts them, under its names."""

import re

import pytest
from google.protobuf import text_format
from support_assets import assets, assets_root

from caffe.formats.prototxt import parse_net
from caffe.passes.splits import insert_splits
from caffe.proto import caffe_pb2


def split(text):
    net = parse_net(text)
    insert_splits(net)
    assert len(net.lines) == len(net.param.layer)
    return net


def wires(net):
    return [(layer.name, list(layer.bottom), list(layer.top)) for layer in net.param.layer]


def test_nothing_to_split():
    text = 'layer { name: "a" top: "x" }\nlayer { name: "b" bottom: "x" }'
    assert text_format.MessageToString(split(text).param) == text_format.MessageToString(
        parse_net(text).param
    )


def test_two_readers():
    net = split(
        'layer { name: "data" top: "x" top: "label" }\n'
        'layer { name: "one" bottom: "x" top: "y" }\n'
        'layer { name: "two" bottom: "x" bottom: "label" }'
    )
    assert wires(net) == [
        ("data", [], ["x", "label"]),
        ("x_data_0_split", ["x"], ["x_data_0_split_0", "x_data_0_split_1"]),
        ("one", ["x_data_0_split_0"], ["y"]),
        ("two", ["x_data_0_split_1", "label"], []),
    ]
    assert net.param.layer[1].type == "Split"
    assert net.lines == [1, 1, 2, 3]


def test_in_place_layers_make_a_new_value():
    net = split(
        'layer { name: "ip" top: "x" }\n'
        'layer { name: "relu" bottom: "x" top: "x" }\n'
        'layer { name: "a" bottom: "x" }\n'
        'layer { name: "b" bottom: "x" }'
    )
    assert [name for name, _, _ in wires(net)] == ["ip", "relu", "x_relu_0_split", "a", "b"]
    assert wires(net)[1] == ("relu", ["x"], ["x"])


def test_one_layer_that_reads_twice():
    net = split(
        'layer { name: "d" top: "a" top: "x" }\nlayer { name: "e" bottom: "x" bottom: "a" bottom: "x" }'
    )
    assert wires(net)[1:] == [
        ("x_d_1_split", ["x"], ["x_d_1_split_0", "x_d_1_split_1"]),
        ("e", ["x_d_1_split_0", "a", "x_d_1_split_1"], []),
    ]


def test_a_loss_that_is_read_too():
    net = split('layer { name: "loss" top: "l" loss_weight: 0.5 }\nlayer { name: "s" bottom: "l" }')
    assert wires(net)[1:] == [
        ("l_loss_0_split", ["l"], ["l_loss_0_split_0", "l_loss_0_split_1"]),
        ("s", ["l_loss_0_split_1"], []),
    ]
    assert list(net.param.layer[0].loss_weight) == []
    assert list(net.param.layer[1].loss_weight) == [0.5, 0]


def test_a_weight_of_zero_is_no_use():
    net = split('layer { name: "loss" top: "l" loss_weight: 0 }\nlayer { name: "s" bottom: "l" }')
    assert len(net.param.layer) == 2


WITH_SPLITS = [
    path.parent.name
    for path in sorted(assets_root().glob("models/*/weights.caffemodel"))
    if b"_split" in path.read_bytes()
]


@pytest.mark.parametrize("model", WITH_SPLITS or ["any"])
def test_as_in_files_of_the_original(model):
    """A trained file holds the net with its splits: taken out and put in again, they are the same."""
    data = assets("models", model, "weights.caffemodel").read_bytes()
    recorded = caffe_pb2.NetParameter()
    recorded.ParseFromString(data)
    if not recorded.layer:
        pytest.skip("a file of version 1")
    net = parse_net("")
    names = {top: split.bottom[0] for split in recorded.layer if split.type == "Split" for top in split.top}
    for layer in recorded.layer:
        if layer.type != "Split":
            plain = net.param.layer.add(name=layer.name, type=layer.type, top=layer.top)
            plain.bottom.extend(names.get(b, b) for b in layer.bottom)
            weights = [
                w
                for s in recorded.layer
                if s.type == "Split" and s.bottom[0] in layer.top
                for w in s.loss_weight[:1]
            ]
            plain.loss_weight.extend(layer.loss_weight or weights)
    insert_splits(net)
    expected = [(layer.name, list(layer.bottom), list(layer.top)) for layer in recorded.layer]
    assert wires(net) == expected
    assert any(re.search(r"_split_\d+$", bottom) for _, bottoms, _ in expected for bottom in bottoms)
