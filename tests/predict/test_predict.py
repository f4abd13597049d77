"""Predictions of photos: the kinds of nets told apart, boxes and pixels' classes found, the commands."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
from support_assets import assets

import caffe
from caffe import layers as L
from caffe.cli import detect, predict, segment
from caffe.cli.classify import main as classify
from caffe.errors import InputError
from caffe.predict import labels
from caffe.predict.detection import PhotoDetector
from caffe.predict.drawing import colour, with_boxes
from caffe.predict.kinds import Kind, answer_of
from caffe.predict.preparation import Preparation
from caffe.predict.segmentation import Segmenter


def ssd() -> caffe.Net:
    """An SSD of four priors over a 20 × 30 image, whose scores are set by the biases of a convolution."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=[1, 3, 20, 30])
    n.map = L.Pooling(n.data, pool="AVE", kernel_h=10, kernel_w=15, stride_h=10, stride_w=15)
    n.loc = L.Flatten(L.Permute(L.Convolution(n.map, num_output=4, kernel_size=1), order=[0, 2, 3, 1]))
    n.score = L.Convolution(n.map, num_output=3, kernel_size=1, bias_filler={"type": "constant"})
    rows = L.Reshape(L.Permute(n.score, order=[0, 2, 3, 1]), shape={"dim": [0, -1, 3]})
    n.conf = L.Flatten(L.Softmax(rows, axis=2))
    n.prior = L.PriorBox(n.map, n.data, min_size=10, variance=0.1, clip=False)
    n.found = L.DetectionOutput(
        n.loc,
        n.conf,
        n.prior,
        detection_output_param={
            "num_classes": 3,
            "nms_param": {"nms_threshold": 0.45, "top_k": 9},
            "keep_top_k": 5,
            "code_type": 2,
            "confidence_threshold": 0.1,
        },
    )
    net = caffe.Net(n, caffe.TEST)
    net.params["score"][0].data[...] = 0
    net.params["score"][0].data[2, 2] = 1  # red is class 2
    net.params["score"][1].data[...] = [2, -5, -5]
    return net


def photo(red: tuple[int, int, int, int], size: tuple[int, int] = (40, 90)) -> np.ndarray:
    """A black photo of height, width, with a red box x1, y1, x2, y2."""
    picture = np.zeros((*size, 3), np.uint8)
    x1, y1, x2, y2 = red
    picture[y1:y2, x1:x2, 2] = 255
    return picture


PLAIN = Preparation((0.0,), 1 / 10)


def test_rows_of_an_ssd_are_boxes_in_pixels_of_the_photo():
    net = ssd()
    assert answer_of(net).kind is Kind.BOXES and answer_of(net).form == "rows"
    (found,) = PhotoDetector(net, PLAIN).find(photo((45, 20, 90, 40)))  # the lower right quarter
    assert found.label == 2 and found.score > 0.99
    # the prior: 10 × 10 pixels around (22.5, 15) of the net's 30 × 20
    np.testing.assert_allclose(found.box, (17.5 * 3, 10 * 2, 27.5 * 3, 20 * 2), rtol=1e-5)


def regions(classes: int, agnostic: bool) -> caffe.Net:
    """The end of an R-CNN: regions, scores and corrections are inputs beside an image."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=[1, 3, 12, 16])
    n.im_info = L.Input(shape=[1, 3])
    n.rois = L.Input(shape=[3, 5])
    n.score = L.Input(shape=[3, classes])
    n.code = L.Input(shape=[3, 8 if agnostic else 4 * classes])
    n.unused = L.Silence(n.data, n.im_info, n.rois, ntop=0)
    n.cls_prob = L.Softmax(n.score)
    n.bbox_pred = L.Power(n.code)
    return caffe.Net(n, caffe.TEST)


@pytest.mark.parametrize("agnostic", [False, True])
def test_regions_of_rcnns_are_corrected_and_suppressed(agnostic):
    net = regions(3, agnostic)
    assert answer_of(net).form == "regions"
    net.blobs["rois"].data[...] = [[0, 4, 2, 11, 7], [0, 5, 2, 12, 7], [0, 0, 0, 3, 3]]
    net.blobs["score"].data[...] = [[0, 0, 9], [0, 0, 7], [9, 0, 0]]
    code = np.zeros((3, 2 if agnostic else 3, 4))
    code[0, -1] = [0.25, 0, np.log(2), 0]  # 2 pixels to the right, twice as wide
    code[1, -1] = [0.125, 0, np.log(2), 0]
    net.blobs["code"].data[...] = code.reshape(3, -1)
    (found,) = PhotoDetector(net, Preparation(short_side=24), 0.6).find(photo((0, 0, 1, 1), (48, 64)))
    assert found.label == 2 and found.score > 0.99
    assert net.blobs["data"].shape == (1, 3, 24, 32)
    np.testing.assert_allclose(net.blobs["im_info"].data, [[24, 32, 0.5]])
    # regions are of the image at half its size: x 8 to 22, 15 wide, y 4 to 14, 11 high
    np.testing.assert_allclose(found.box, (19.25 - 15, 4, 19.25 + 15, 15), atol=1e-4)


def test_yolo_maps_need_anchors():
    n = caffe.NetSpec()
    n.data = L.Input(shape=[1, 3, 64, 96])
    n.low = L.Pooling(n.data, pool="AVE", kernel_size=32, stride=32)
    n.high = L.Pooling(n.data, pool="AVE", kernel_size=16, stride=16)
    n.coarse = L.Convolution(n.low, num_output=2 * 9, kernel_size=1)
    n.fine = L.Convolution(n.high, num_output=2 * 9, kernel_size=1)
    net = caffe.Net(n, caffe.TEST)
    for name in ("coarse", "fine"):
        net.params[name][0].data[...] = 0
        net.params[name][1].data[...] = -9
    net.params["fine"][0].data[4, 2] = 0.1  # objectness of the first anchor: red
    net.params["fine"][1].data[[0, 1, 2, 3]] = 0
    net.params["fine"][1].data[5 + 3] = 9  # class 3 of 4, from 0
    assert answer_of(net).form == "maps"
    with pytest.raises(InputError, match="--anchors"):
        PhotoDetector(net)
    with pytest.raises(InputError, match="3 anchors do not fit the 2 map"):
        PhotoDetector(net, anchors=[(9, 9)] * 3)
    anchors = [(40, 50), (60, 70), (10, 20), (20, 30)]
    (found,) = PhotoDetector(net, Preparation((0.0,)), anchors=anchors).find(
        photo((16, 32, 32, 48), (64, 96))
    )
    assert found.label == 4 and found.score > 0.99
    np.testing.assert_allclose(found.box, (24 - 5, 40 - 10, 24 + 5, 40 + 10), atol=0.1)


def pixels(arg_max: bool = False, softmax: bool = True) -> caffe.Net:
    """Class 1 where blue, 2 where red."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=[1, 3, 8, 10])
    n.score = L.Convolution(n.data, num_output=3, kernel_size=1, bias_filler={"type": "constant", "value": 0})
    if softmax:
        n.prob = L.Softmax(n.score)
    if arg_max:
        n.best = L.ArgMax(n.score, axis=1)
    net = caffe.Net(n, caffe.TEST)
    net.params["score"][0].data[...] = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]]).reshape(3, 3, 1, 1)
    net.params["score"][1].data[...] = [10, 0, 0]
    return net


@pytest.mark.parametrize("arg_max", [False, True])
@pytest.mark.parametrize("own_size", [False, True])
def test_pixels_have_classes_in_the_photos_size(arg_max, own_size):
    picture = photo((10, 0, 20, 16), (16, 20))
    picture[8:, :10, 0] = 255
    found = Segmenter(pixels(arg_max, softmax=False), Preparation((0.0,)), own_size).classes(picture)
    assert found.shape == (16, 20)
    assert (found[:, 11:] == 2).all() and (found[9:, :9] == 1).all() and (found[:7, :9] == 0).all()


def test_classes_and_what_is_neither():
    n = caffe.NetSpec()
    n.data = L.Input(shape=[2, 3, 4, 5])
    n.score = L.InnerProduct(n.data, num_output=6)
    scores = answer_of(caffe.Net(n, caffe.TEST))
    assert scores.kind is Kind.CLASSES and not scores.probabilities
    n.prob = L.Softmax(n.score)
    assert answer_of(caffe.Net(n, caffe.TEST)).probabilities
    n = caffe.NetSpec()
    n.data = L.Input(shape=[2, 3])
    n.score = L.InnerProduct(n.data, num_output=6)
    with pytest.raises(InputError, match="takes no images"):
        answer_of(caffe.Net(n, caffe.TEST))


def test_labels(tmp_path):
    (tmp_path / "labels.txt").write_text("﻿a\nb b\n\nc\n", encoding="utf-8")
    assert labels.read(tmp_path / "labels.txt", first=1).names == {1: "a", 2: "b b", 3: "c"}
    (tmp_path / "labelmap.prototxt").write_text('item { name: "n01" label: 5 display_name: "dog" }')
    assert labels.read(tmp_path / "labelmap.prototxt")(5) == "dog"
    assert labels.beside(tmp_path / "deploy.prototxt", 3)(2) == "c"
    assert labels.beside(tmp_path / "deploy.prototxt", 7)(2) == "class 2"
    (tmp_path / "labelmap.prototxt").write_text("item {")
    with pytest.raises(caffe.errors.DataError, match="label map"):
        labels.read(tmp_path / "labelmap.prototxt")


def test_colours_are_those_of_voc():
    assert [colour(i) for i in (0, 1, 2, 15)] == [(0, 0, 0), (0, 0, 128), (0, 128, 0), (128, 128, 192)]


def test_boxes_are_drawn_where_they_are():
    blank = np.zeros((200, 300, 3), np.uint8)
    found = PhotoDetector(ssd(), PLAIN).find(photo((45, 20, 90, 40)))
    picture = with_boxes(blank, found, str)
    rows, columns = np.nonzero(picture.any(axis=2))
    assert rows.max() <= 44 and columns.max() <= 90 and not blank.any()


def _text(net: caffe.Net) -> str:
    param = net.to_proto()
    for layer in param.layer:
        layer.ClearField("blobs")
    return str(param)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, net in (("ssd", ssd()), ("pixels", pixels())):
        (tmp_path / f"{name}.prototxt").write_text(str(_text(net)))
        net.save(tmp_path / f"{name}.caffemodel")
    cv2.imwrite("red.png", photo((45, 20, 90, 40)))
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    return tmp_path


def flags(name: str) -> list[str]:
    return [f"--model={name}.prototxt", f"--weights={name}.caffemodel", "--mean=none"]


def test_detect_prints_and_draws(files, capsys):
    argv = ["red.png", *flags("ssd"), "--input_scale=0.1", "--labels=names.txt"]
    for number in ("", "_2"):  # no picture is written over
        assert detect.main(argv) == 0
        said = capsys.readouterr().out
        assert re.search(rf"red.png: 1 found, picture predictions/red_boxes{number}.png", said)
        assert re.search(r"\d\.\d{3}  dog  52, 20 to 8[23], 40", said)
    assert cv2.imread("predictions/red_boxes_2.png").shape == (40, 90, 3)
    assert predict.main([*argv, "--json", "--out=none"]) == 0
    (image,) = json.loads(capsys.readouterr().out)
    assert image["found"][0]["label"] == "dog" and image["picture"] is None


def test_segment_prints_and_draws(files, capsys):
    assert segment.main([".", *flags("pixels")]) == 0
    said = capsys.readouterr()
    assert "24.9%  class 2" in said.out and "--labels=FILE" in said.err
    picture = cv2.imread("predictions/red_classes.png")
    assert picture.shape[0] == 40 and picture.shape[1] > 90  # with its legend


@pytest.mark.parametrize(
    ("main", "argv", "words"),
    [
        (segment.main, ["red.png", *flags("ssd")], "tells no classes of pixels: it gives boxes"),
        (detect.main, ["red.png", *flags("pixels")], "finds no boxes: it gives pixels"),
        (classify, ["red.png", *flags("ssd")], "finds boxes.*caffe detect"),
        (classify, ["red.png", *flags("pixels")], "colours pixels.*caffe segment"),
        (predict.main, ["no.png", *flags("ssd")], "no.png.*does not exist"),
        (predict.main, ["names.txt", *flags("ssd")], "names.txt"),
        (predict.main, ["red.png", *flags("ssd"), "--threshold=2"], "from 0 to 1"),
        (predict.main, ["red.png", *flags("ssd"), "--anchors=1,x"], "in pairs"),
        (predict.main, ["red.png", *flags("ssd"), "--channel_swap=0,2,1"], "2,1,0"),
        (predict.main, ["red.png", *flags("ssd"), "--out=names.txt"], "names.txt.*folder cannot be made"),
        (predict.main, ["red.png", *flags("ssd"), "--labels=no.txt"], "no.txt"),
    ],
)
def test_what_cannot_be(files, capsys, main, argv, words):
    assert main(argv) != 0
    assert re.search(words, capsys.readouterr().err, re.DOTALL)


def test_faces_of_ultraface(tmp_path, monkeypatch, capsys):
    folder = assets("models", "ultraface_rfb320")
    monkeypatch.chdir(tmp_path)
    given = [f"--model={folder}/deploy.prototxt", f"--weights={folder}/weights.caffemodel", "--threshold=0.7"]
    assert detect.main([str(assets("photos") / "faces.jpg"), *given]) == 0
    found = re.findall(r"face  (\d+), (\d+) to (\d+), (\d+)", capsys.readouterr().out)
    np.testing.assert_allclose(np.array(found, int), [[91, 18, 155, 103], [300, 84, 362, 171]], atol=2)
