"""Nets to deploy made from nets to train, and back."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe.cli import main
from caffe.errors import NetError
from caffe.formats import prototxt
from caffe.passes.forms import deploy_form, train_form
from caffe.proto import caffe_pb2

TRAIN_VAL = """
name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 9 mean_value: 1 mean_value: 2 mean_value: 3 } data_param { source: "a" batch_size: 4 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 9 } data_param { source: "b" batch_size: 5 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 2 }
  convolution_param { num_output: 7 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" include { phase: TRAIN } }
layer { name: "score" type: "InnerProduct" bottom: "conv" top: "score"
  inner_product_param { num_output: 6 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "shape" type: "Reshape" bottom: "label" top: "shaped" }
layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "shaped" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""


def write(folder, text=TRAIN_VAL):
    path = folder / "train_val.prototxt"
    path.write_text(text)
    return str(path)


def test_deploy(tmp_path):
    param = deploy_form(prototxt.parse_net(TRAIN_VAL))
    assert [(layer.name, layer.type) for layer in param.layer] == [
        ("data", "Input"),
        ("conv", "Convolution"),
        ("score", "InnerProduct"),
        ("prob", "Softmax"),
    ]
    assert list(param.layer[0].input_param.shape[0].dim) == [1, 3, 9, 9]
    assert not param.layer[1].param and not param.layer[1].convolution_param.HasField("weight_filler")
    prototxt.write(tmp_path / "deploy.prototxt", param)
    net = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    assert net.blobs["prob"].data.shape == (1, 6)


def test_and_back(tmp_path):
    deploy = prototxt.NetFile(deploy_form(prototxt.parse_net(TRAIN_VAL)))
    source = caffe_pb2.LayerParameter(name="data", type="DummyData")
    source.dummy_data_param.shape.add().dim.extend([4, 3, 9, 9])
    source.dummy_data_param.shape.add().dim.extend([4])
    param = train_form(deploy, source, source, top_k=(1, 5))
    prototxt.write(tmp_path / "train_val.prototxt", param)
    net = caffe.Net(str(tmp_path / "train_val.prototxt"), caffe.TEST)
    assert set(net.outputs) == {
        "accuracy",
        "accuracy_top5",
        "loss",
    }
    assert "prob" not in net.blobs and net.blobs["data"].data.shape == (4, 3, 9, 9)
    assert "accuracy" not in caffe.Net(str(tmp_path / "train_val.prototxt"), caffe.TRAIN).blobs
    assert np.abs(net.params["conv"][0].data).max() > 0  # fillers of their own


def test_a_net_to_deploy_is_not_made_twice():
    deploy = prototxt.NetFile(deploy_form(prototxt.parse_net(TRAIN_VAL)))
    deploy.param.layer[0].input_param.shape.add().dim.extend([2, 3])
    deploy.param.layer[0].top.append("more")
    with pytest.raises(NetError, match="one input"):
        train_form(deploy, caffe_pb2.LayerParameter(), caffe_pb2.LayerParameter())


def test_labels_that_are_needed_are_an_error():
    text = TRAIN_VAL + 'layer { name: "both" type: "Concat" bottom: "score" bottom: "label" top: "both" }'
    with pytest.raises(NetError, match="needs labels"):
        deploy_form(prototxt.parse_net(text))


def test_a_size_that_nothing_tells_is_asked_for():
    text = TRAIN_VAL.replace("crop_size: 9", "mirror: true")
    with pytest.raises(NetError, match="--shape"):
        deploy_form(prototxt.parse_net(text))
    param = deploy_form(prototxt.parse_net(text), [2, 3, 11, 12])
    assert list(param.layer[0].input_param.shape[0].dim) == [2, 3, 11, 12]


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    assert main.main(["deploy", "train_val.prototxt", "deploy.prototxt"]) == 0
    assert main.main(["deploy", "train_val.prototxt", "deploy.prototxt"]) == 1
    assert "exists already" in capsys.readouterr().err
    (tmp_path / "list.txt").write_text("a.png 0\n")
    argv = ["trainval", "deploy.prototxt", "again.prototxt", "--train=list.txt", "--test=list.txt"]
    assert main.main([*argv, "--classes=3", "--batch_size=8"]) == 0
    param = prototxt.read_net("again.prototxt").param
    assert [layer.type for layer in param.layer] == [
        *("ImageData", "ImageData", "Convolution", "InnerProduct", "SoftmaxWithLoss", "Accuracy")
    ]
    assert param.layer[3].name == "score_3_classes" and param.layer[3].inner_product_param.num_output == 3
    assert main.main(["deploy", "train_val.prototxt", "b.prototxt", "--shape=1,x"]) == 2
    assert not (tmp_path / "b.prototxt").exists()
