"""Parameters in and out of nets."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe.errors import LayerError, WeightsError
from caffe.formats.prototxt import parse_net
from caffe.proto import caffe_pb2

TWINS = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 5 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } param { name: "own" }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "c" type: "InnerProduct" bottom: "b" top: "c" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 5 } }
"""


def build(text=TWINS):
    return caffe.Net(parse_net(text), caffe.TEST)


def values(net):
    return {(n, i): b.data.copy() for n, blobs in net.params.items() for i, b in enumerate(blobs)}


@pytest.mark.parametrize("ending", ["caffemodel", "caffemodel.h5"])
def test_round_trip_with_shared_parameters(tmp_path, ending):
    net, other = build(), build()
    path = tmp_path / f"w.{ending}"
    net.save(path)
    report = other.copy_from(path)
    assert report.filled == ["a", "b", "c"]
    before, after = values(net), values(other)
    assert all(np.array_equal(before[k], after[k]) for k in before)
    assert np.shares_memory(other.params["a"][0].data, other.params["c"][0].data)
    assert not np.shares_memory(other.params["a"][1].data, other.params["b"][1].data)


def test_a_file_of_a_net_that_shared_does_not_fill_one_that_does_not(tmp_path):
    build().save_hdf5(tmp_path / "w.h5")
    alone = build(
        TWINS.replace('param { name: "w" }', "param { }").replace('param { name: "b" }', "param { }")
    )
    with pytest.raises(WeightsError) as caught:
        alone.copy_from(tmp_path / "w.h5")
    assert caught.value.layer in ("b", "c")


def test_what_is_saved_is_the_originals_schema(tmp_path):
    net = build()
    net.save(tmp_path / "w.caffemodel")
    found = caffe_pb2.NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert [(layer.name, layer.type, layer.phase) for layer in found.layer] == [
        (s.name, s.layer.type, caffe_pb2.TEST) for s in net.steps
    ]
    b = next(layer for layer in found.layer if layer.name == "b")
    assert (list(b.bottom), list(b.top)) == (["a"], ["b"])
    assert list(b.blobs[0].shape.dim) == [5, 5]
    assert np.array_equal(np.array(b.blobs[0].data).reshape(5, 5), net.params["b"][0].data.astype(np.float32))
    # packed: the field's tag (5, length-delimited) is followed by all floats at once
    assert net.params["b"][0].data.tobytes() in (tmp_path / "w.caffemodel").read_bytes()


def test_legacy_shapes_of_four_axes_fit(tmp_path):
    net = build()
    param = caffe_pb2.NetParameter()
    layer = param.layer.add(name="a", type="InnerProduct")
    for shape in ((1, 1, 5, 5), (1, 1, 1, 5)):
        blob = layer.blobs.add(num=shape[0], channels=shape[1], height=shape[2], width=shape[3])
        blob.data.extend(range(int(np.prod(shape))))
    (tmp_path / "old.caffemodel").write_bytes(param.SerializeToString())
    report = net.copy_from(tmp_path / "old.caffemodel")
    assert report.filled == ["a"]
    assert report.kept == ["b", "c"]
    assert net.params["a"][0].data[1, 2] == 7


def test_both_constructors_load_weights(tmp_path):
    net = build()
    net.save(tmp_path / "w.caffemodel")
    (tmp_path / "n.prototxt").write_text(TWINS)
    proto, weights = str(tmp_path / "n.prototxt"), str(tmp_path / "w.caffemodel")
    for other in (
        caffe.Net(proto, weights, caffe.TEST),
        caffe.Net(proto, caffe.TEST, weights=weights),
        caffe.Net(network_file=proto, phase=caffe.TEST, weights=weights),
    ):
        assert np.array_equal(other.params["a"][0].data, net.params["a"][0].data)


def test_views_of_parameters_stay_valid(tmp_path):
    net = build()
    view = net.params["b"][1].data
    net.save(tmp_path / "w.caffemodel")
    view[...] = 3
    assert net.params["b"][1].data[2] == 3
    net.copy_from(tmp_path / "w.caffemodel")
    assert view[0] == net.params["b"][1].data[0] != 3


def test_multipliers_of_shared_parameters_must_agree():
    net = build(
        TWINS.replace(
            'name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }',
            'name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" lr_mult: 3 }',
        )
    )
    assert next(p for p in net.learnable if p.name == "w").lr_mult == 3  # said once counts for all
    text = TWINS.replace('param { name: "w" }', 'param { name: "w" decay_mult: 2 }', 1)
    with pytest.raises(LayerError, match="whose decay_mult is 2; got 0") as caught:
        build(text.replace('top: "c" param { name: "w" }', 'top: "c" param { name: "w" decay_mult: 0 }'))
    assert (caught.value.layer, caught.value.field) == ("c", "decay_mult")
