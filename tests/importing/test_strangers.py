"""ONNX models from strangers: what is wrong with one is an error of ours, and no file is read but the model's own."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe import errors

onnx = pytest.importorskip("onnx", reason="needs the extra export")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def model(weights, shape=(2, 3, 9, 8), **attributes):
    attributes = {"kernel_shape": [3, 3], **attributes}
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


WEIGHTS = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")


def elsewhere(place):
    found = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[4, 3, 3, 3], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", place), ("length", "432")):
        found.external_data.add(key=key, value=value)
    return found


@pytest.mark.parametrize("place", ["/etc/passwd", "../secret", "link"])
def test_weights_in_other_files_are_beside_the_model(tmp_path, place):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"A" * 432)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "m.onnx").write_bytes(model(elsewhere(place)).SerializeToString())
    with pytest.raises(errors.ParseError, match="weights cannot be read"):
        caffe.from_onnx(tmp_path / "in" / "m.onnx")


def raw(content):
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3, 3, 3], raw_data=content)


DAMAGED = {
    "a nonsense attribute": model(WEIGHTS, kernel_sha="x"),
    "a kernel of letters": model(WEIGHTS, kernel_shape="abc"),
    "a negative kernel": model(WEIGHTS, kernel_shape=[-1, 3]),
    "endless pads": model(WEIGHTS, pads=[1 << 40] * 4),
    "strides of nothing": model(WEIGHTS, strides=[0, 0]),
    "too few bytes": model(raw(b"abc")),
    "no bytes": model(raw(b"")),
    "an input that fills memory": model(WEIGHTS, shape=(1 << 30, 3, 1 << 10, 1 << 10)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_models(tmp_path, name):
    (tmp_path / "m.onnx").write_bytes(DAMAGED[name].SerializeToString())
    with pytest.raises(errors.CaffeError):
        caffe.from_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"\x0a\xff\xff\xff\xff\x7f", b"x" * 1000])
def test_what_is_no_model(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(errors.ParseError):
        caffe.from_onnx(tmp_path / "m.onnx")
