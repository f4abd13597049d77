"""Bad input: each an exception of ours that names file, line, layer and field; the process goes on."""

from __future__ import annotations

import lmdb
import numpy as np
import pytest

import caffe
from caffe.errors import (
    CaffeError,
    CorruptDataError,
    DataError,
    InputError,
    LayerError,
    MissingFileError,
    NetError,
    ParseError,
    ShapeError,
    UnknownLayerError,
    UnknownNameError,
    WeightsError,
)
from caffe.formats.datum import Datum

NET = """name: "bad"
layer {
  name: "data"
  type: "Input"
  top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 9 } }
}
layer {
  name: "conv1"
  type: "Convolution"
  bottom: "data"
  top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 }
}
layer {
  name: "pool1"
  type: "Pooling"
  bottom: "conv1"
  top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 }
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(text):
    with open("net.prototxt", "w", encoding="utf-8") as file:
        file.write(text)
    return caffe.Net("net.prototxt", caffe.TEST)


@pytest.mark.parametrize(
    ("find", "replace", "error", "line", "layer", "words"),
    [
        ("kernel_size: 3", "kernel_sise: 3", ParseError, 13, "conv1", "kernel_size"),
        ("pool: MAX", "pool: MAXX", ParseError, 20, "pool1", "MAX"),
        ('"Pooling"', '"Poolin"', UnknownLayerError, 15, "pool1", "Pooling"),
        ('bottom: "conv1"', 'bottom: "conv11"', NetError, 15, "pool1", "'conv1'"),
        ('top: "pool1"', 'top: "data"', NetError, 15, "pool1", "produced twice"),
        ("kernel_size: 3", "kernel_size: 30", ShapeError, 8, "conv1", "kernel"),
        ("num_output: 4", "num_output: 4 group: 2", ShapeError, 8, "conv1", "group"),
        ("num_output: 4", "num_output: 0", LayerError, 8, "conv1", "num_output"),
        ('top: "pool1"', 'top: "pool1" top: "mask" top: "more"', LayerError, 15, "pool1", "top"),
        ('bottom: "data"\n  top: "conv1"', 'top: "conv1"', LayerError, 8, "conv1", "bottom"),
        ("kernel_size: 2 stride: 2", "kernel_size: 2 pad: 2", LayerError, 15, "pool1", "pad"),
        (
            'bottom: "conv1"',
            'bottom: "conv1" loss_weight: 1 loss_weight: 2',
            LayerError,
            15,
            "pool1",
            "loss_weight",
        ),
        (
            'bottom: "data"',
            'bottom: "data" propagate_down: true propagate_down: false',
            LayerError,
            8,
            "conv1",
            "prop",
        ),
        ("num_output: 4", 'num_output: 4 weight_filler { type: "xavyer" }', LayerError, 8, "conv1", "xavier"),
    ],
)
def test_definitions(find, replace, error, line, layer, words):
    with pytest.raises(error) as caught:
        build(NET.replace(find, replace, 1))
    assert caught.value.file == "net.prototxt"
    assert caught.value.line == line
    assert caught.value.layer == layer
    assert words in str(caught.value)
    assert isinstance(caught.value, (CaffeError, ValueError))


def test_an_unclosed_block_and_a_missing_file(folder):
    with pytest.raises(ParseError):
        build(NET.rstrip().rstrip("}"))
    with pytest.raises(MissingFileError) as caught:
        caffe.Net("nowhere.prototxt", caffe.TEST)
    assert isinstance(caught.value, FileNotFoundError)


class TestCalls:
    @pytest.fixture
    def net(self):
        return build(NET)

    def test_unknown_names_list_close_ones(self, net):
        for call in (
            lambda: net.forward(start="conv"),
            lambda: net.forward(end="pool"),
            lambda: net.backward(start="c1"),
        ):
            with pytest.raises(UnknownNameError):
                call()
        with pytest.raises(UnknownNameError, match="Did you mean 'conv1'"):
            net.forward(start="conv2")
        with pytest.raises(UnknownNameError, match="Did you mean 'pool1'"):
            net.forward(blobs=["pool2"])

    def test_inputs_that_do_not_match(self, net):
        good = np.zeros((2, 3, 8, 9))
        with pytest.raises(InputError, match="must be data; got img"):
            net.forward(img=good)
        with pytest.raises(InputError, match="batch size of its blob, 2"):
            net.forward(data=good[:1])
        with pytest.raises(InputError, match=r"blob's shape \[2, 3, 8, 9\]; got \[2, 5, 8, 9\]"):
            net.forward(data=np.zeros((2, 5, 8, 9)))
        with pytest.raises(TypeError, match="must be numbers"):
            net.forward(data=np.array(["a", "b"]))

    def test_assigning_a_blob(self, net):
        with pytest.raises(InputError, match=r"blob.data\[\.\.\.\] = values"):
            net.blobs["data"].data = np.zeros((2, 3, 8, 9))
        net.blobs["data"].data += 1  # in place, as with the original
        assert net.blobs["data"].data.min() == 1

    def test_a_shape_that_cannot_be(self, net):
        net.blobs["data"].reshape(2, 3, 2, 9)
        with pytest.raises(ShapeError) as caught:
            net.forward()
        assert caught.value.layer == "conv1"
        net.blobs["data"].reshape(2, 3, 8, 9)
        net.forward()  # the net goes on
        with pytest.raises(InputError, match="integer"):
            net.blobs["data"].reshape(2, "x")

    def test_constructor(self):
        for args in ((), ("net.prototxt",)):
            with pytest.raises(TypeError):
                caffe.Net(*args)
        with pytest.raises(TypeError, match="phase"):
            caffe.Net("net.prototxt", phse=1)
        with pytest.raises(InputError, match="TRAIN"):
            caffe.Net("net.prototxt", 7)


class TestWeights:
    def test_shapes_that_do_not_fit(self):
        net = build(NET)
        net.save("w.caffemodel")
        other = build(NET.replace("num_output: 4", "num_output: 6"))
        with pytest.raises(WeightsError) as caught:
            other.copy_from("w.caffemodel")
        text = str(caught.value)
        assert "w.caffemodel" in text
        assert "[6, 3, 3, 3]" in text
        assert "[4, 3, 3, 3]" in text
        assert "rename" in text
        assert caught.value.layer == "conv1"

    def test_another_number_of_parameters(self):
        build(NET).save("w.caffemodel")
        other = build(NET.replace("num_output: 4", "num_output: 4 bias_term: false"))
        with pytest.raises(WeightsError, match="2 parameter"):
            other.copy_from("w.caffemodel")

    def test_truncated_or_something_else(self, folder):
        net = build(NET)
        net.save("w.caffemodel")
        data = (folder / "w.caffemodel").read_bytes()
        before = net.params["conv1"][0].data.copy()
        for bad in (data[:-20], data[: len(data) // 2], b"\xff" * 100, b"not a model at all, sorry"):
            (folder / "bad.caffemodel").write_bytes(bad)
            with pytest.raises(CaffeError):
                net.copy_from("bad.caffemodel")
        assert np.array_equal(before, net.params["conv1"][0].data)
        with pytest.raises(MissingFileError):
            net.copy_from("nowhere.caffemodel")


DATA_NET = """name: "data"
layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "db" batch_size: 2 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def write_database(datums):
    env = lmdb.open("db", map_size=1 << 24)
    with env.begin(write=True) as transaction:
        for i, datum in enumerate(datums):
            transaction.put(b"%08d" % i, datum.serialize())
    env.close()


class TestDatabases:
    def test_missing(self):
        with pytest.raises(CaffeError) as caught:
            build(DATA_NET)
        assert caught.value.layer == "d"
        assert "db" in str(caught.value)

    def test_cut_in_half(self, folder):
        write_database([Datum(1, 8, 9, bytes(72), 0) for _ in range(3000)])
        data = (folder / "db" / "data.mdb").read_bytes()
        (folder / "db" / "data.mdb").write_bytes(data[: len(data) // 2])
        with pytest.raises(CaffeError):
            net = build(DATA_NET)
            for _ in range(1600):
                net.forward()

    def test_a_datum_of_another_size(self):
        write_database(
            [Datum(1, 4, 5, bytes(20), 0), Datum(1, 4, 5, bytes(20), 1), Datum(1, 4, 6, bytes(24), 2)] * 2
        )
        net = build(DATA_NET)
        net.forward()
        with pytest.raises(DataError) as caught:
            net.forward()
        text = str(caught.value)
        assert "00000003" in text  # its batch began with another size
        assert caught.value.layer == "d"
        assert issubclass(CorruptDataError, DataError)

    def test_a_label_outside_the_classes(self):
        write_database([Datum(1, 4, 5, bytes(20), 1), Datum(1, 4, 5, bytes(20), 7)])
        net = build(DATA_NET)
        with pytest.raises(LayerError) as caught:
            net.forward()
        assert caught.value.layer == "loss"
        assert "7" in str(caught.value)
