"""NetSpec: what users write, the prototxt that comes of it, and what wrong names say."""

import copy
import re

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.errors import CaffeError, InputError, LayerError, UnknownNameError
from caffe.net_spec import Function, NetSpec, Top, param_name_dict, to_proto

LENET = """\
layer {
  name: "data"
  type: "Data"
  top: "data"
  top: "label"
  transform_param {
    scale: 0.25
  }
  data_param {
    source: "mnist/train_lmdb"
    batch_size: 64
    backend: LMDB
  }
}
layer {
  name: "conv1"
  type: "Convolution"
  bottom: "data"
  top: "conv1"
  convolution_param {
    num_output: 20
    kernel_size: 5
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "pool1"
  type: "Pooling"
  bottom: "conv1"
  top: "pool1"
  pooling_param {
    pool: MAX
    kernel_size: 2
    stride: 2
  }
}
layer {
  name: "fc1"
  type: "InnerProduct"
  bottom: "pool1"
  top: "fc1"
  inner_product_param {
    num_output: 500
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "relu1"
  type: "ReLU"
  bottom: "fc1"
  top: "fc1"
}
layer {
  name: "score"
  type: "InnerProduct"
  bottom: "fc1"
  top: "score"
  inner_product_param {
    num_output: 10
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "loss"
  type: "SoftmaxWithLoss"
  bottom: "score"
  bottom: "label"
  top: "loss"
}
"""


def lenet() -> NetSpec:
    xavier = dict(type="xavier")
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=64,
        backend=P.Data.LMDB,
        source="mnist/train_lmdb",
        transform_param=dict(scale=1.0 / 4),
        ntop=2,
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=xavier)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool1, num_output=500, weight_filler=xavier)
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=xavier)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n


def test_prints_the_prototxt_of_the_tutorial():
    assert str(lenet().to_proto()) == LENET
    assert str(lenet()) == LENET


def test_names_are_made_up_for_tops_without_one():
    data, label = L.DummyData(shape=[dict(dim=[5, 3]), dict(dim=[5])], ntop=2)
    first = L.InnerProduct(data, num_output=4)
    relu = L.ReLU(first, in_place=True)
    second = L.InnerProduct(relu, num_output=2)
    loss = L.SoftmaxWithLoss(second, label)
    net = to_proto(loss)
    assert [layer.name for layer in net.layer] == [
        "DummyData1",
        "InnerProduct1",
        "ReLU1",
        "InnerProduct2",
        "SoftmaxWithLoss1",
    ]
    assert list(net.layer[0].top) == ["DummyData1", "DummyData2"]
    assert net.layer[2].bottom == net.layer[2].top == ["InnerProduct1"]
    assert list(net.layer[4].bottom) == ["InnerProduct2", "DummyData2"]
    assert loss.to_proto() == net


def test_made_up_names_avoid_given_ones():
    n = NetSpec()
    n.ReLU1 = L.Input(shape=[2, 3])
    n.out = L.Sigmoid(L.ReLU(n.ReLU1))
    assert [layer.name for layer in n.to_proto().layer] == ["ReLU1", "ReLU2", "out"]


def test_layers_come_before_what_needs_them_and_once():
    a = L.Input(shape=[2, 3])
    both = L.Eltwise(L.ReLU(a), L.Sigmoid(a))
    kinds = [layer.type for layer in to_proto(both, a).layer]
    assert sorted(kinds) == ["Eltwise", "Input", "ReLU", "Sigmoid"]
    assert kinds[0] == "Input" and kinds[-1] == "Eltwise"


def test_a_chain_deeper_than_pythons_stack():
    top = L.Input(shape=[2, 3])
    for _ in range(3000):
        top = L.ReLU(top)
    assert len(to_proto(top).layer) == 3001


def test_layers_without_tops():
    n = NetSpec()
    n.data, n.data2 = L.DummyData(shape=dict(dim=3), ntop=2)
    n.silence_data = L.Silence(n.data, ntop=0)
    n.silence_data2 = L.Silence(n.data2, ntop=0)
    assert isinstance(n.silence_data, Function)
    net = n.to_proto()
    assert [(la.name, len(la.top)) for la in net.layer] == [
        ("data", 2),
        ("silence_data", 0),
        ("silence_data2", 0),
    ]


def test_the_same_tops_for_another_phase():
    n = NetSpec()
    n.data, n.label = L.Data(source="train", batch_size=64, ntop=2, include=dict(phase=caffe.TRAIN))
    n.test_data = L.Data(
        source="test",
        batch_size=100,
        ntop=0,
        top=["data", "label"],
        name="data",
        include=dict(phase=caffe.TEST),
    )
    train, test = n.to_proto().layer
    assert (train.name, list(train.top)) == (test.name, list(test.top)) == ("data", ["data", "label"])
    assert (train.include[0].phase, test.include[0].phase) == (caffe.TRAIN, caffe.TEST)


def test_include_takes_stages_and_several_rules():
    layer = to_proto(
        L.Input(shape=[2, 3], include=[dict(phase=caffe.TEST, stage="deploy"), dict(not_stage=["a", "b"])])
    ).layer[0]
    assert list(layer.include[0].stage) == ["deploy"] and list(layer.include[1].not_stage) == ["a", "b"]


def test_a_list_of_param_dicts():
    layer = to_proto(
        L.InnerProduct(
            L.Input(shape=[2, 3]), num_output=4, param=[dict(lr_mult=1, name="w"), dict(lr_mult=2)]
        )
    ).layer[1]
    assert [(p.name, p.lr_mult) for p in layer.param] == [("w", 1), ("", 2)]


def test_fields_of_the_layer_itself():
    a = L.Input(shape=[2, 3])
    layer = to_proto(L.EuclideanLoss(a, a, loss_weight=0.5, propagate_down=[True, False], name="dist")).layer[
        1
    ]
    assert (layer.name, list(layer.loss_weight), list(layer.propagate_down)) == ("dist", [0.5], [True, False])


def test_python_layers():
    layer = to_proto(L.Python(module="my_layers", layer="Mine", param_str='{"a": 1}')).layer[0]
    assert (layer.python_param.module, layer.python_param.layer) == ("my_layers", "Mine")
    assert layer.python_param.param_str == '{"a": 1}'


def test_types_that_read_anothers_message():
    a = L.Input(shape=[2, 3, 5, 4])
    assert (
        to_proto(L.Deconvolution(a, num_output=7, kernel_size=2)).layer[1].convolution_param.num_output == 7
    )
    spelled = L.Deconvolution(a, convolution_param=dict(num_output=7, kernel_size=2))
    assert to_proto(spelled).layer[1].convolution_param.num_output == 7
    assert to_proto(L.LSTM(a, num_output=6)).layer[1].recurrent_param.num_output == 6


@pytest.mark.parametrize(
    "shape", [[2, 3, 4], (2, 3, 4), dict(dim=[2, 3, 4]), [dict(dim=[2, 3, 4])], np.arange(2, 5)]
)
def test_ways_to_write_a_shape(shape):
    assert list(to_proto(L.Input(shape=shape)).layer[0].input_param.shape[0].dim) == [2, 3, 4]


def test_values_of_numpy_enums_by_name_and_messages():
    filler = caffe.proto.caffe_pb2.FillerParameter(type="msra")
    layer = to_proto(
        L.Convolution(
            L.Input(shape=[2, 3, 5, 4]),
            num_output=np.int64(7),
            kernel_size=np.array([3, 2]),
            weight_filler=filler,
            engine="CAFFE",
        )
    ).layer[1]
    param = layer.convolution_param
    assert (param.num_output, list(param.kernel_size), param.weight_filler.type) == (7, [3, 2], "msra")
    assert param.engine == P.Convolution.CAFFE == 1


def test_names_as_items_and_attributes():
    n = NetSpec()
    n["a/b"] = L.Input(shape=[2, 3])
    n.c = L.ReLU(n["a/b"])
    assert n.keys() == ["a/b", "c"] and n.vals() == [n["a/b"], n.c] and "c" in n and list(n) == ["a/b", "c"]
    n.update({"d": L.Sigmoid(n.c)}, e=L.TanH(n.c))
    assert [layer.name for layer in n.to_proto().layer] == ["a/b", "c", "d", "e"]
    del n.d
    del n["e"]
    assert n.keys() == ["a/b", "c"]
    assert {"c", "to_proto"} <= set(dir(n))


def test_a_name_set_again_moves_on():
    n = NetSpec()
    n.x = L.Input(shape=[2, 3])
    n.y = L.ReLU(n.x)
    n.y = L.Sigmoid(n.y)
    assert [(layer.name, layer.type) for layer in n.to_proto().layer] == [
        ("x", "Input"),
        ("ReLU1", "ReLU"),
        ("y", "Sigmoid"),
    ]


def test_parameters_may_change_later():
    n = NetSpec()
    n.ip = L.InnerProduct(L.Input(shape=[2, 3]), num_output=4)
    assert n.ip.fn.params == {"num_output": 4}
    n.ip._update({"num_output": 5})
    assert n.to_proto().layer[1].inner_product_param.num_output == 5


def test_the_state_of_a_net():
    net = NetSpec("mine", phase=caffe.TEST, level=2, stages=["deploy", "small"]).to_proto()
    assert (net.name, net.state.phase, net.state.level, list(net.state.stage)) == (
        "mine",
        caffe.TEST,
        2,
        ["deploy", "small"],
    )
    assert not NetSpec().to_proto().HasField("state")


def test_copies_are_independent():
    n = lenet()
    other = copy.copy(n)
    other.tops = n.loss  # a top may have any name
    assert "tops" in other


def test_param_names():
    names = param_name_dict()
    assert (
        names["InnerProduct"] == "inner_product"
        and names["HDF5Data"] == "hdf5_data"
        and names["LRN"] == "lrn"
    )


def test_documentation_lists_the_parameters():
    assert L.Pooling.__name__ == "Pooling" and "global_pooling" in L.Pooling.__doc__


def test_a_bottom_that_is_no_top():
    both = L.DummyData(shape=dict(dim=3), ntop=2)
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$"):
        L.Silence(both, ntop=0)
    assert isinstance(L.Silence(*both, ntop=0), Function)


X = L.Input(shape=[2, 3, 5, 4])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: L.Convolution(X, num_outputs=3), LayerError, "Convolution.*'num_outputs'.*'num_output'"),
        (lambda: L.Convolution(X, weight_filler=dict(typ="a")), LayerError, r"weight_filler\.typ.*'type'"),
        (lambda: L.SoftmaxWithLoss(X, X, ignore_label=3), LayerError, r"loss_param=dict\(ignore_label"),
        (lambda: L.Data(source="a", scales=3), LayerError, "'scale'"),
        (lambda: L.Data(source="a", mean_value=3), LayerError, r"transform_param=dict\(mean_value"),
        (lambda: L.Pooling(X, pool="MAXX"), LayerError, "one of MAX, AVE, STOCHASTIC.*'MAX'"),
        (lambda: L.Convolution(X, num_output=-1), LayerError, "num_output.*integer from 0; got -1"),
        (lambda: L.Convolution(X, num_output="many"), LayerError, "num_output.*integer.*'many'"),
        (lambda: L.ReLU(X, negative_slope="a"), LayerError, "number; got 'a'"),
        (lambda: L.ReLU(X, include=3), LayerError, "dict with fields of NetStateRule; got 3"),
        (lambda: L.Python(module=3), LayerError, "string; got 3"),
        (lambda: L.ReLU(X, ntop=-1), InputError, "ntop of ReLU must be an integer from 0; got -1"),
        (lambda: L.Data(in_place=True), InputError, "in place.*bottom"),
        (lambda: P.Pooling.MAXX, AttributeError, "PoolingParameter has no value 'MAXX'.*'MAX'"),
        (lambda: P.Poolin, AttributeError, "PoolinParameter.*'Pooling'"),
        (lambda: lenet().conv2, UnknownNameError, "'conv2'.*'conv1'"),
        (lambda: lenet()["conv2"], KeyError, "'conv2'.*'conv1'"),
        (lambda: setattr(lenet(), "data", L.Data(source="a", ntop=2)), TypeError, "2 tops: give each a name"),
        (lambda: setattr(lenet(), "data", 3), TypeError, "'data' must be what a layer returns"),
        (lambda: to_proto(3), TypeError, "must be given tops"),
    ],
)
def test_what_cannot_be_says_so_at_once(call, error, words):
    with pytest.raises(error, match=re.compile(words, re.DOTALL)) as info:
        call()
    assert isinstance(info.value, CaffeError)


def test_tops_can_be_looked_for():
    assert not hasattr(lenet(), "conv2") and hasattr(lenet(), "conv1")
    assert isinstance(getattr(lenet(), "conv2", X), Top)


def test_whole_floats_are_integers():
    """Python 3's division makes them: pad=(kernel - 1) / 2."""
    n = NetSpec()
    n.data = L.Input(shape=[[2.0, 3, np.float64(6), 5]])
    n.conv = L.Convolution(n.data, num_output=np.float32(4), kernel_size=[3.0, 1], pad=2 / 2, axis=1.0)
    n.a, n.b = L.Slice(n.conv, slice_point=4 / 2, ntop=2.0)
    data, conv, cut = n.to_proto().layer
    assert list(data.input_param.shape[0].dim) == [2, 3, 6, 5]
    param = conv.convolution_param
    assert (param.num_output, list(param.kernel_size), list(param.pad), param.axis) == (4, [3, 1], [1], 1)
    assert list(cut.slice_param.slice_point) == [2] and len(cut.top) == 2


@pytest.mark.parametrize(
    "params", [dict(pad=1.5), dict(kernel_size=[3, 0.5]), dict(pad=float("nan")), dict(pad=-1.0)]
)
def test_fractions_are_refused(params):
    with pytest.raises(LayerError, match="an integer"):
        L.Convolution(L.Input(shape=[2, 3, 5, 4]), num_output=4, **params)


def test_parameters_are_added_to_a_layer():
    n = NetSpec()
    n.data = L.Input(shape=[2, 3, 5, 4])
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=3)
    n.update("conv", {"dilation": 2, "param": [dict(lr_mult=0)], "name": "renamed"})
    layer = n.to_proto().layer[1]
    assert (
        list(layer.convolution_param.dilation) == [2]
        and layer.param[0].lr_mult == 0
        and layer.name == "renamed"
    )
    assert layer.convolution_param.num_output == 4
    with pytest.raises(LayerError, match="dilatoin"):
        n.update("conv", {"dilatoin": 2})
    with pytest.raises(KeyError, match="no top 'con'"):
        n.update("con", {})
