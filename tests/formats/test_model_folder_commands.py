"""What commands do with a model folder in place of a net: export, serve, view."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.cli import serve
from caffe.cli.main import main
from caffe.formats.model_folder import ModelFolder
from caffe.serving import app

NET = """
name: "cats"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 10 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
MEAN, SCALE, RESIZE = (104.0, 117.0, 123.0), 0.02, (14, 13)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "CAFFE_OUTPUT_FOLDERS", str(tmp_path)
    )  # which caffe view would set, for the whole process
    place = tmp_path / "runs" / "cats"
    place.mkdir(parents=True)
    (place / "deploy.prototxt").write_text(NET)
    caffe.set_random_seed(2)
    caffe.Net(str(place / "deploy.prototxt"), caffe.TEST).save(str(place / "weights.caffemodel"))
    ModelFolder(place, ["tabby", "siamese", "manx"], MEAN, SCALE, resize=RESIZE).write()
    return place


def expected(folder: Path, photo: np.ndarray) -> np.ndarray:
    """By hand: resized, the middle cropped, minus the mean, times the scale."""
    large = cv2.resize(photo, (RESIZE[1], RESIZE[0]), interpolation=cv2.INTER_LINEAR)[2:12, 2:11]
    data = (large.transpose(2, 0, 1).astype(np.float32) - np.float32(MEAN).reshape(3, 1, 1)) * np.float32(
        SCALE
    )
    net = caffe.Net(str(folder / "deploy.prototxt"), str(folder / "weights.caffemodel"), caffe.TEST)
    return net.forward(data=data[None])["prob"][0].copy()


def photo() -> np.ndarray:
    small = np.random.default_rng(4).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (41, 37), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_export_prepares_photos_as_the_folder_says(folder: Path) -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    assert main(["export", "runs/cats", "--to=onnx", "--preprocess", "--images=bgr"]) == 0
    path = folder / "cats.onnx"
    said = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert said["labels"].split() == ["tabby", "siamese", "manx"]
    assert (said["mean"], said["scale"], said["resize"]) == ("104,117,123", "0.02", "14x13")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: photo()[None]})[0][0]
    assert (
        np.abs(found - expected(folder, photo())).max() < 2e-3
    )  # the model's resizing does not round to bytes


def test_export_without_preprocessing_says_it_in_the_properties(folder: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert main(["export", "runs/cats", "--to=plain.onnx", "--scale=0.5"]) == 0
    said = {p.key: p.value for p in onnx.load("plain.onnx").metadata_props}
    assert (said["mean"], said["scale"], said["channel_order"]) == ("104,117,123", "0.5", "bgr")


def test_serve_takes_the_folder(folder: Path) -> None:
    flags = {p.name: p.default for p in serve.command.params if p.name not in ("net", "weights")}
    (served,) = serve._served("runs/cats", None, flags)
    assert (served.name, served.mean, served.scale, served.rgb) == ("cats", MEAN, SCALE, False)
    assert Path(served.labels).read_text(encoding="utf-8").split() == ["tabby", "siamese", "manx"]
    assert (served.resize, served.smooth) == (RESIZE, False)
    prepared = app._preparation(served, 3).apply(photo(), (1, 3, 10, 9))
    net = caffe.Net(served.net, served.weights, caffe.TEST)
    np.testing.assert_allclose(net.forward(data=prepared)["prob"][0], expected(folder, photo()), rtol=1e-5)
    (changed,) = serve._served("runs/cats", None, {**flags, "mean": "1,2,3", "name": "dogs"})
    assert (changed.name, changed.mean, changed.scale) == ("dogs", (1, 2, 3), SCALE)


def test_view_shows_the_net_with_its_weights(folder: Path) -> None:
    cv2.imwrite("photo.png", photo())
    assert main(["view", "runs/cats", "--out=page.html", "--image=photo.png"]) == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "siamese" in page and '"conv"' in page


def test_exported_programs_take_photos_of_any_size_too(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    assert main(["export", "runs/cats", "--to=pt2", "--preprocess", "--images=bgr"]) == 0
    module = torch.export.load(str(folder / "cats.pt2")).module()
    for height, width in ((37, 41), (20, 90)):
        shown = (
            np.ascontiguousarray(photo()[:height, :width])
            if height == 37
            else cv2.resize(photo(), (width, height))
        )
        found = module(torch.from_numpy(shown[None]))[0][0].numpy()
        assert np.abs(found - expected(folder, shown)).max() < 2e-3
