"""docs/errors.md quotes errors as they are."""

import re
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
INPUT = (
    'layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
)
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c"'
    " convolution_param { num_output: 2 kernel_size: 3 } }"
)


def net(tmp_path, text, **more):
    path = tmp_path / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    return caffe.Net(str(path), caffe.TEST, **more)


def weights(tmp_path, cut=None):
    path = tmp_path / "e.caffemodel"
    net(tmp_path, INPUT + CONV).save(str(path))
    path.write_bytes(path.read_bytes()[:cut])
    return str(path)


def label_of_no_class(tmp_path):
    text = 'layer { name: "d" type: "Input" top: "x" top: "y"'
    text += " input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }"
    text += 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "l" }'
    net(tmp_path, text).forward(x=np.zeros((2, 3)), y=[1, 3])


def diverged(tmp_path):
    path = tmp_path / "train.prototxt"
    path.write_text(
        'layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 2 dim: 3 }'
        " shape { dim: 2 dim: 4 } data_filler { value: 1e30 } data_filler { value: -1e30 } } }"
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 4'
        ' weight_filler { value: nan } } } layer { name: "l" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "l" }',
        encoding="utf-8",
    )
    solver = caffe.get_solver(
        caffe.proto.caffe_pb2.SolverParameter(net=str(path), base_lr=1, lr_policy="fixed")
    )
    solver.stop_at_nan = True
    solver.step(2)


def policy(tmp_path):
    caffe.get_solver(caffe.proto.caffe_pb2.SolverParameter(net="x", base_lr=1, lr_policy="stepp"))


CASES = {
    "No layer before this one produces": lambda p: net(
        p, INPUT + CONV.replace('bottom: "data"', 'bottom: "dta"')
    ),
    "Unknown layer type": lambda p: net(p, INPUT + CONV.replace("Convolution", "Convolutoin")),
    "must be a field of": lambda p: net(p, INPUT + CONV.replace("num_output", "num_ouput")),
    "spans 30 along": lambda p: net(p, INPUT + CONV.replace("size: 3", "size: 30")),
    "there is no module": lambda p: net(
        p, 'layer { name: "p" type: "Python" top: "x" python_param { module: "my_layers" layer: "MyData" } }'
    ),
    "the net needs 76.8 GB": lambda p: net(p, INPUT.replace("dim: 1 dim: 3", "dim: 100000 dim: 3000")),
    "must have the net's shape": lambda p: net(
        p, INPUT + CONV.replace("num_output: 2", "num_output: 5"), weights=weights(p)
    ),
    "must go on for": lambda p: net(p, INPUT + CONV, weights=weights(p, 60)),
    "must have the batch size": lambda p: net(p, INPUT + CONV).forward(data=np.zeros((2, 3, 8, 8))),
    "The input arguments must be": lambda p: net(p, INPUT + CONV).forward(dat=np.zeros((1, 3, 8, 8))),
    "labels must be from": label_of_no_class,
    "The loss is nan": diverged,
    "must be one of fixed, step": policy,
}


def quoted():
    return re.findall(r"^\| `(.+?)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("begin", CASES)
def test_the_message_is_as_quoted(begin, tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "20GB")
    (quote,) = [text for text in quoted() if begin in text]
    with pytest.raises(CaffeError) as raised:
        CASES[begin](tmp_path)
    assert quote in str(raised.value)


def test_every_quote_is_tried():
    """But the one whose text has the folder in it."""
    assert {text for text in quoted() if not any(begin in text for begin in CASES)} == {
        "The database 'nope_lmdb' does not exist (looked from …)"
    }
