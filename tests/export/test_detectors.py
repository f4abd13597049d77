"""Detectors as ONNX find in photos what they find here."""

import importlib.util
import sys

import cv2
import numpy as np
import pytest
from support_assets import ROOT, assets

import caffe
from caffe import export
from caffe.export import onnx_file

pytestmark = pytest.mark.assets
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def net_of(name):
    folder = assets("models", name)
    return caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST, weights=str(folder / "weights.caffemodel"))


def same(net, tmp_path, tolerance=1e-4):
    """What the net and its export give for what is in the net's input."""
    export.to_onnx(net, tmp_path / "net.onnx")
    given = {name: net.blobs[name].data.copy() for name in net.inputs}
    expected = {name: value.copy() for name, value in net.forward().items()}
    found = onnx_file.runner(tmp_path / "net.onnx")(given)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, atol=tolerance * np.abs(value).max(), rtol=0)
    return found


def test_ssd(tmp_path):
    finder, net = example("find_qr_code"), net_of("wechat_qrcode_detect")
    assert len(finder.find(net, finder.make_picture()[0])) == 1
    rows = same(net, tmp_path)["detection_output"].reshape(-1, 7)
    assert (rows[:, 2] > 0.9).sum() == 1


def test_ultraface(tmp_path):
    finder, net = example("find_faces"), net_of("ultraface_rfb320")
    assert len(finder.find(net, cv2.imread(str(assets("photos", "faces.jpg"))))) == 2
    scores = same(net, tmp_path)
    assert any((value[..., 1] > 0.7).any() for value in scores.values() if value.shape[-1] == 2)


@pytest.mark.parametrize(
    ("kind", "model", "photo", "labels"),
    [("nano", "mobilenetv2_yolov3_nano_voc", "001763", {8, 12}), ("face", "yoloface_50k", "faces2", {1})],
)
def test_yolo(tmp_path, kind, model, photo, labels):
    net = example("find_with_yolo").build(kind, assets("models", model))
    height, width = net.blobs["data"].shape[2:]
    image = cv2.imread(str(assets("photos", f"{photo}.jpg")))
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    net.blobs["data"].data[...] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).transpose(2, 0, 1) / 256
    rows = same(net, tmp_path)["found"].reshape(-1, 7)
    assert set(rows[rows[:, 2] > 0.9][:, 1].astype(int)) == labels


@pytest.mark.parametrize("stage", ["mtcnn_det1", "mtcnn_det2", "mtcnn_det3"])
def test_mtcnn(tmp_path, stage):
    """The cascade's nets, on faces: what they answer is what decides what is found."""
    net = net_of(stage)
    image = cv2.imread(str(assets("photos", "faces2.jpg")), cv2.IMREAD_COLOR)
    height, width = net.blobs["data"].shape[2:]
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)[..., ::-1].transpose(2, 1, 0)
    small = small if small.shape[1:] == (height, width) else small.transpose(0, 2, 1)
    net.blobs["data"].data[...] = (small - 127.5) / 128
    same(net, tmp_path)
