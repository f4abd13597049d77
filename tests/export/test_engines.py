"""The recipes of docs/export.md for engines that people load exported files into: each computes what the net does."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe import export

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

DOCS = Path(__file__).parents[2] / "docs" / "export.md"
NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 27 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.1 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "left" type: "Convolution" bottom: "pool1" top: "left"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "right" type: "Pooling" bottom: "pool1" top: "right"
  pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "bn" type: "BatchNorm" bottom: "both" top: "both" }
layer { name: "fc" type: "InnerProduct" bottom: "both" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def recipe(heading: str) -> str:
    """The first Python block under a heading of the page."""
    section = DOCS.read_text(encoding="utf-8").split(f"### {heading}\n", 1)[1].split("\n#", 1)[0]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


def run(heading, tmp_path, monkeypatch, size=(1, 3, 32, 27)):
    """What a recipe leaves in ``prob``, and what the net finds."""
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    rng = np.random.RandomState(0)
    for blob in net.params["bn"]:
        blob.data[...] = rng.uniform(0.5, 1.5, blob.shape) if len(blob.shape) and blob.count > 1 else 1
    monkeypatch.chdir(tmp_path)
    export.to_onnx(net, "net.onnx")
    data = rng.standard_normal(size).astype(np.float32)
    given = {"data": data}
    exec(recipe(heading), given)  # the page's own lines
    return np.asarray(given["prob"]), net.forward(data=data)["prob"]


def test_onnx_runtime(tmp_path, monkeypatch):
    found, expected = run("ONNX Runtime", tmp_path, monkeypatch)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 4, reason="needs OpenCV 4 or 5")
def test_opencv(tmp_path, monkeypatch):
    found, expected = run("OpenCV", tmp_path, monkeypatch)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_openvino(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    found, expected = run("OpenVINO", tmp_path, monkeypatch)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_core_ml_tools(tmp_path, monkeypatch):
    pytest.importorskip("coremltools")
    (tmp_path / "net.prototxt").write_text(NET)
    monkeypatch.chdir(tmp_path)
    export.to_pt2(caffe.Net("net.prototxt", caffe.TEST), "net.pt2")
    given = {}
    exec(recipe("Core ML Tools"), given)
    assert [x.name for x in given["model"].get_spec().description.output] and Path("net.mlpackage").is_dir()
