"""ONNX models as nets: the same modules by way of ONNX, and what an ONNX file can have wrong."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch_modules import CASES, around

import caffe
from caffe.errors import InputError, MissingFileError, ParseError
from caffe.importing.from_onnx import convert_onnx

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

NOT_EXPORTED = {"threshold", "exp log", "exp2", "adaptive", "adaptive up", "channel shuffle"}
"""Modules that torch's exporter to ONNX does not take."""
NOT_IN_BVLC = {"written over", "pixel unshuffle"}
"""Modules that ONNX writes in a form that BVLC's layers do not have."""


def exported(path, module, shapes, **options):
    torch.manual_seed(1)
    inputs = tuple(torch.randn(*s) for s in shapes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            around(module), inputs, path, dynamo=False, opset_version=17, verbose=False, **options
        )
    return path


def model(path, nodes, inputs, outputs, initializers=(), opset=17, **options):
    """A model written node by node."""

    def info(n, s):
        return helper.make_tensor_value_info(n, TensorProto.FLOAT, s)

    tensors = (
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in (initializers or {}).items()]
        if initializers
        else []
    )
    graph = helper.make_graph(
        [helper.make_node(op, i, o, **a) for op, i, o, a in nodes],
        "made", [info(n, s) for n, s in inputs.items()], [info(n, s) for n, s in outputs.items()], tensors,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(made, path, **options)
    return path


@pytest.mark.parametrize("name", [n for n in CASES if n not in NOT_EXPORTED | NOT_IN_BVLC])
def test_modules_by_way_of_onnx(name, tmp_path):
    module, shapes = CASES[name]
    done = convert_onnx(exported(tmp_path / "m.onnx", module, shapes))
    assert done.checked.runs >= 3
    assert max(done.checked.errors.values()) < 1e-5


def test_names_are_the_models(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 5, 6))
    path = exported(
        tmp_path / "m.onnx", module, [(1, 3, 9, 7)], input_names=["images"], output_names=["scores"]
    )
    net = caffe.from_onnx(path)
    assert list(net.inputs) == ["images"]
    assert list(net.outputs) == ["scores"]
    assert net.blobs["scores"].shape == (1, 6)


def test_a_size_that_is_free_is_asked_for(tmp_path):
    path = model(tmp_path / "m.onnx", [("Relu", ["x"], ["y"], {})], {"x": ["n", 3, "h", "w"]}, {"y": None})
    with pytest.raises(InputError, match=r"input 'x' is not fixed: \['n', 3, 'h', 'w'\].*--shape=x:"):
        caffe.from_onnx(path)
    net = caffe.from_onnx(path, shapes={"x": (2, 3, 5, 7)})
    assert net.blobs["y"].shape == (2, 3, 5, 7)
    with pytest.raises(InputError, match=r"no input \['z'\]; it has \['x'\]"):
        caffe.from_onnx(path, shapes={"z": (2, 3, 5, 7)})


def test_a_shape_that_the_model_does_not_take(tmp_path):
    path = model(tmp_path / "m.onnx", [("Relu", ["x"], ["y"], {})], {"x": ["n", 3, "h", 7]}, {"y": None})
    for shape in ((2, 4, 5, 7), (2, 3, 5)):
        with pytest.raises(InputError, match=r"input 'x' is \['n', 3, 'h', 7\]; got the shape"):
            caffe.from_onnx(path, shapes={"x": shape})


def test_an_output_that_lies_in_another_order_needs_permute(tmp_path):
    nodes = [("Transpose", ["x"], ["y"], {"perm": [0, 2, 3, 1]})]
    path = model(tmp_path / "m.onnx", nodes, {"x": [2, 3, 5, 7]}, {"y": None})
    with pytest.raises(InputError, match=r"The output 'y' \(as \[2, 5, 7, 3\]\) cannot be written.*'ssd'"):
        caffe.from_onnx(path)
    assert caffe.from_onnx(path, dialect="ssd").blobs["y"].shape == (2, 5, 7, 3)


def test_stopping_at_a_tensor_leaves_the_rest_away(tmp_path):
    nodes = [("Relu", ["x"], ["a"], {}), ("NonZero", ["a"], ["b"], {})]
    path = model(tmp_path / "m.onnx", nodes, {"x": [2, 3]}, {"b": None})
    with pytest.raises(InputError, match=r"(?s)NonZero.*--outputs="):
        caffe.from_onnx(path)
    assert list(caffe.from_onnx(path, outputs=["a"]).outputs) == ["a"]


def test_control_flow_and_unknown_operators_are_named(tmp_path):
    then = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["t"])],
        "t",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [2])],
    )
    nodes = [
        ("ReduceSum", ["x"], ["s"], {"keepdims": 0}),
        ("Cast", ["s"], ["c"], {"to": TensorProto.BOOL}),
        ("If", ["c"], ["y"], {"then_branch": then, "else_branch": then}),
    ]  # fmt: skip
    path = model(tmp_path / "if.onnx", nodes, {"x": [2]}, {"y": [2]})
    with pytest.raises(InputError, match="control flow"):
        caffe.from_onnx(path)
    path = model(tmp_path / "det.onnx", [("Det", ["x"], ["y"], {})], {"x": [2, 2]}, {"y": []})
    with pytest.raises(InputError, match=r"det.onnx: node 'y': the operator Det"):
        caffe.from_onnx(path)


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(MissingFileError):
        caffe.from_onnx(tmp_path / "none.onnx")
    whole = exported(tmp_path / "m.onnx", nn.Conv2d(3, 4, 3), [(1, 3, 9, 7)]).read_bytes()
    for size in (0, 1, len(whole) // 3, len(whole) - 5):
        (tmp_path / "cut.onnx").write_bytes(whole[:size])
        with pytest.raises((ParseError, InputError), match=r"cut.onnx"):
            caffe.from_onnx(tmp_path / "cut.onnx", tmp_path / "out")
    (tmp_path / "text.onnx").write_text("layer { name: 'x' }")
    with pytest.raises(ParseError, match="no ONNX model"):
        caffe.from_onnx(tmp_path / "text.onnx", tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_an_opset_that_nobody_knows_is_refused(tmp_path):
    for opset in (3, 99):
        path = model(
            tmp_path / "m.onnx", [("Relu", ["x"], ["y"], {})], {"x": [2, 3]}, {"y": [2, 3]}, opset=opset
        )
        with pytest.raises(ParseError, match=f"Opset {opset} is not supported"):
            caffe.from_onnx(path)


def test_weights_in_a_file_that_is_gone(tmp_path):
    path = model(
        tmp_path / "m.onnx", [("Add", ["x", "w"], ["y"], {})], {"x": [2, 300]}, {"y": [2, 300]},
        {"w": np.ones((2, 300), np.float32)},
        save_as_external_data=True, location="weights.bin", size_threshold=0,
    )  # fmt: skip
    assert caffe.from_onnx(path).blobs["y"].shape == (2, 300)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 7)
    with pytest.raises(ParseError, match="weights"):
        caffe.from_onnx(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ParseError, match="same folder"):
        caffe.from_onnx(path, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
