"""Caffemodels in a fork's own numbers, and nets of version 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.dialects import load
from caffe.dialects.writing import as_v1, encode, write_v1_weights, write_weights
from caffe.errors import NetError, WeightsError
from caffe.formats import binaryproto, prototxt, wire
from caffe.proto import caffe_pb2

NET = """name: "n" force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 11 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 3 pad_h: 1 pad_w: 0 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" include { phase: TEST } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def parsed(text: str) -> caffe_pb2.NetParameter:
    return prototxt.parse_net(text).param


def values_of(net: caffe.Net) -> dict[str, list[np.ndarray]]:
    return {name: [b.data.copy() for b in blobs] for name, blobs in net.params.items()}


def numbers(data: bytes) -> list[int]:
    return [number for number, *_ in wire.fields(wire.Source(data), 0, len(data))]


def test_bvlc_writes_what_protobuf_writes(tmp_path: Path) -> None:
    param = parsed(NET)
    for name in ("bvlc", "bvlc-master", "ssd", "caffe-torch"):
        assert encode(param, load(name)) == param.SerializeToString()
    net = caffe.Net(param, caffe.TEST)
    write_weights(tmp_path / "a.caffemodel", param, values_of(net), "bvlc")
    other = caffe.Net(param, str(tmp_path / "a.caffemodel"), caffe.TEST)
    for name, arrays in values_of(net).items():
        for a, b in zip(arrays, other.params[name]):
            np.testing.assert_array_equal(a, b.data)
    assert caffe_pb2.NetParameter.FromString((tmp_path / "a.caffemodel").read_bytes()).layer[1].name == "conv"


@pytest.mark.parametrize(
    ("dialect", "text", "number"),
    [  # numbers of each fork's own caffe.proto
        ("ssd", 'type: "Permute" permute_param { order: 0 order: 2 }', 202),
        ("caffe-windows", 'type: "Permute" permute_param { order: 0 order: 2 }', 224),
        ("segnet", 'type: "BN" bn_param { bn_mode: INFERENCE }', 45),
        ("yolo", 'type: "ReLU6" relu6_param { negative_slope: 0.1 }', 211),
        ("synopsys", 'type: "Interp" interp_param { zoom_factor: 2 }', 163),
    ],
)
def test_a_forks_own_numbers(dialect: str, text: str, number: int) -> None:
    layer = parsed(f'layer {{ name: "l" bottom: "x" top: "y" {text} }}').layer[0]
    data = encode(layer, load(dialect))
    found = numbers(data)
    assert found == sorted(found) and found[-1] == number and set(found[:-1]) == {1, 2, 3, 4}
    ours = numbers(layer.SerializeToString())[-1]
    if ours == number:
        assert data == layer.SerializeToString()


def test_enums_have_the_forks_numbers() -> None:
    engine = {n: load(n).enums["ConvolutionParameter.Engine"] for n in ("intel", "nvidia")}
    param = caffe_pb2.ConvolutionParameter(engine="MKL2017", num_output=3)
    data = encode(param, load("intel"))
    value = next(v for n, _, v, _, _ in wire.fields(wire.Source(data), 0, len(data)) if n == 15)
    assert value == engine["intel"]["MKL2017"] != param.engine
    with pytest.raises(WeightsError, match="MKL2017 is no value of"):
        encode(param, load("nvidia"))


def test_fields_that_a_fork_has_not_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    param = parsed('layer { name: "p" type: "Permute" bottom: "x" top: "y" permute_param { order: 0 } }')
    with pytest.raises(WeightsError, match=r"layer 'p'.*permute_param is no field of BVLC Caffe 1\.0"):
        write_weights(tmp_path / "a.caffemodel", param, {}, "bvlc")
    assert not list(tmp_path.iterdir())


def test_weights_in_a_forks_numbers_are_read_back(tmp_path: Path) -> None:
    text = NET.replace('"Softmax"', '"BN"').replace(
        'top: "prob"', 'top: "prob" bn_param { slope_filler { } icnet: true }'
    )
    net = caffe.Net(parsed(text), caffe.TEST)
    path = tmp_path / "a.caffemodel"
    write_weights(path, parsed(text), values_of(net), "synopsys")
    assert [w.name for w in binaryproto.read_weights(path).layers if w.blobs] == ["conv", "fc", "prob"]
    other = caffe.Net(parsed(text), str(path), caffe.TEST)
    np.testing.assert_array_equal(other.params["prob"][3].data, net.params["prob"][3].data)


def test_version_1(tmp_path: Path) -> None:
    param = parsed(NET)
    net = caffe.Net(param, caffe.TEST)
    old = as_v1(param)
    assert not old.layer and list(old.input) == ["data"] and list(old.input_dim) == [2, 3, 9, 11]
    assert [caffe_pb2.V1LayerParameter.LayerType.Name(each.type) for each in old.layers] == [
        "CONVOLUTION", "RELU", "POOLING", "INNER_PRODUCT", "SOFTMAX",
    ]  # fmt: skip
    assert list(old.layers[0].blobs_lr) == [1, 2] and list(old.layers[0].weight_decay) == [1, 0]
    write_v1_weights(tmp_path / "v1.caffemodel", old, values_of(net), "bvlc")
    message = caffe_pb2.NetParameter.FromString((tmp_path / "v1.caffemodel").read_bytes())
    bias, weights = message.layers[3].blobs[1], message.layers[3].blobs[0]
    assert (bias.num, bias.channels, bias.height, bias.width) == (1, 1, 1, 5)
    assert (weights.num, weights.channels, weights.height) == (1, 1, 5) and not weights.HasField("shape")
    prototxt.write(tmp_path / "v1.prototxt", old)
    again = caffe.Net(str(tmp_path / "v1.prototxt"), str(tmp_path / "v1.caffemodel"), caffe.TEST)
    x = np.random.default_rng(0).normal(size=(2, 3, 9, 11))
    results = []
    for each in (net, again):
        each.blobs["data"].data[...] = x
        results.append(each.forward()["prob"].copy())
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('type: "Scale"', r"layer 'l' \(Scale\): field 'type': version 1 has no such type\. Fold it .*--fold"),
        ('type: "PReLU"', r"layer 'l' \(PReLU\): field 'type': version 1 has no such type\. It has AbsVal, "),
        ('type: "ReLU" propagate_down: false', "field 'propagate_down'"),
        ('type: "ReLU" relu_param { negative_slope: 1 } elu_param { alpha: 1 }', "field 'elu_param'"),
    ],
)  # fmt: skip
def test_what_version_1_has_not_is_named(text: str, says: str) -> None:
    with pytest.raises(NetError, match=says):
        as_v1(parsed(f'layer {{ name: "l" bottom: "x" top: "y" {text} }}'))


def test_values_of_another_kind() -> None:
    """Synopsys' anchors are whole numbers in its files, Cambricon's are floats, and ours the other way round."""
    loss = caffe_pb2.YoloV3LossParameter(anchors=[10, 13.0], side=3)
    data = encode(loss, load("synopsys"))
    found = [(n, k, v) for n, k, v, _, _ in wire.fields(wire.Source(data), 0, len(data))]
    number = load("synopsys").fields["YoloV3LossParameter"]["anchors"]
    assert [f for f in found if f[0] == number] == [(number, wire.VARINT, 10), (number, wire.VARINT, 13)]
    loss.anchors[0] = 10.5
    with pytest.raises(WeightsError, match=r"anchors must be whole; got 10\.5"):
        encode(loss, load("synopsys"))
    data = encode(caffe_pb2.ProposalParameter(anchor_scale=8), load("cambricon"))
    assert data[1:] == np.float32(8).tobytes()
