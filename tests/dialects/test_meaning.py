"""Whose layer is meant: said by the user or the file, or given away by the rest of the net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.errors import UnknownNameError
from caffe.formats import prototxt

SCORES = """layer { name: "d" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
"""
FOCAL = SCORES + 'layer { name: "loss" type: "FocalLoss" bottom: "x" bottom: "y" top: "loss" }\n'


def loss(text: str, dialect: str | None = None) -> float:
    net = caffe.Net(prototxt.parse_net(text), caffe.TEST, dialect=dialect)
    net.blobs["x"].data[...] = np.arange(12).reshape(4, 3) / 7
    net.blobs["y"].data[...] = [0, 1, 2, 1]
    net.forward()
    return float(net.blobs["loss"].data)


def expected(alpha: float, power: int = 2, inside: bool = False) -> float:
    scores = np.arange(12).reshape(4, 3) / 7
    p = (np.exp(scores) / np.exp(scores).sum(1, keepdims=True))[np.arange(4), [0, 1, 2, 1]]
    return float(np.mean(-((alpha - p) ** power if inside else alpha * (1 - p) ** power) * np.log(p)))


def test_the_users_word() -> None:
    assert loss(FOCAL) == pytest.approx(expected(0.25), rel=1e-5)
    assert loss(FOCAL, "jolibrain") == pytest.approx(expected(0.25), rel=1e-5)
    assert loss(FOCAL, "caffe-windows") == pytest.approx(expected(1, inside=True), rel=1e-5)


def test_the_files_word_and_the_users_over_it() -> None:
    text = "# dialect: caffe-windows\n" + FOCAL
    assert loss(text) == pytest.approx(expected(1, inside=True), rel=1e-5)
    assert loss(text, "jolibrain") == pytest.approx(expected(0.25), rel=1e-5)


def test_the_rest_of_the_net(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")
    text = FOCAL + 'layer { name: "f" type: "Flip" bottom: "x" top: "f" }'  # caffe-windows only
    net = caffe.Net(
        prototxt.parse_net(text.replace("dim: 4 dim: 3 }", "dim: 4 dim: 3 dim: 1 dim: 1 }")), caffe.TEST
    )
    (focal,) = (layer for layer in net.layers if layer.type == "FocalLoss")
    assert focal.param.focal_loss_param.HasField("type")
    assert "caffe-windows" in capsys.readouterr().err


def test_fields_that_tell_are_left() -> None:
    text = FOCAL.replace('top: "loss" }', 'top: "loss" focal_loss_param { type: ONEADDP alpha: 1 } }')
    net = caffe.Net(prototxt.parse_net(text), caffe.TEST, dialect="caffe-windows")
    assert net.layers[1].param.focal_loss_param.type == 2


def test_unknown_names_are_answered(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="jolibrain"):
        caffe.Net(prototxt.parse_net(FOCAL), caffe.TEST, dialect="joli-brain")
    file = tmp_path / "n.prototxt"
    file.write_text("# dialect: nobody\n" + FOCAL)
    with pytest.raises(UnknownNameError, match=r"n\.prototxt"):
        caffe.Net(str(file), caffe.TEST)


WEIGHTED = """force_backward: true
layer { name: "d" type: "Input" top: "a" top: "b" top: "i" top: "o"
  input_param { shape { dim: 2 dim: 3 } } }
layer { name: "l" type: "SmoothL1Loss" bottom: "a" bottom: "b" bottom: "i" bottom: "o" top: "l" loss_weight: 1 }
"""


@pytest.mark.parametrize("dialect", ["synopsys", "jolibrain", "faster-rcnn"])
def test_smooth_l1_of_three_forks(dialect: str) -> None:
    net = caffe.Net(prototxt.parse_net(WEIGHTED), caffe.TRAIN, dialect=dialect)
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=(2, 3)).astype(np.float32) for name in "abio"}
    for name, value in values.items():
        net.blobs[name].data[...] = value
    net.forward()
    net.backward()
    d = values["i"] * (values["a"] - values["b"])
    each = np.where(abs(d) < 1, d * d / 2, abs(d) - 0.5)
    slope = np.where(abs(d) < 1, d, np.sign(d)) / 2
    outside = 1 if dialect == "jolibrain" else values["o"]
    total = abs(each * outside) if dialect == "synopsys" else each * outside
    inside = values["i"] if dialect == "faster-rcnn" else 1
    assert float(net.blobs["l"].data) == pytest.approx(total.sum() / 2, rel=1e-5)
    np.testing.assert_allclose(net.blobs["a"].diff, slope * outside * inside, rtol=1e-4, atol=1e-6)


def test_smooth_l1_of_caffe_windows_has_a_turn_point() -> None:
    text = WEIGHTED.replace(' bottom: "i" bottom: "o"', "").replace(
        "loss_weight: 1", "smoothl1_param { turn_point: 0.5 }"
    )
    net = caffe.Net(prototxt.parse_net(text), caffe.TRAIN)
    net.blobs["a"].data[...] = [[0.2, 1, -3], [0, 0.4, -0.5]]
    net.forward()
    d = abs(net.blobs["a"].data)
    each = np.where(d < 0.5, d * d / 2, d - 0.5 + 0.125)
    assert float(net.blobs["l"].data) == pytest.approx(each.sum() / 2, rel=1e-6)


def test_infogain_of_older_forks_takes_probabilities() -> None:
    text = """force_backward: true
    layer { name: "d" type: "Input" top: "x" top: "y" top: "h"
      input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } shape { dim: 1 dim: 1 dim: 3 dim: 3 } } }
    layer { name: "loss" type: "InfogainLoss" bottom: "x" bottom: "y" bottom: "h" top: "loss" }
    """
    net = caffe.Net(prototxt.parse_net(text), caffe.TRAIN, dialect="ssd")
    rng = np.random.default_rng(1)
    p = rng.uniform(0.1, 1, (4, 3)).astype(np.float32)
    matrix, labels = rng.uniform(size=(3, 3)), np.array([0, 2, 1, 2])
    net.blobs["x"].data[...], net.blobs["y"].data[...], net.blobs["h"].data[0, 0] = p, labels, matrix
    net.forward()
    net.backward()
    assert float(net.blobs["loss"].data) == pytest.approx(-(matrix[labels] * np.log(p)).sum() / 4, rel=1e-5)
    np.testing.assert_allclose(net.blobs["x"].diff, -matrix[labels] / p / 4, rtol=1e-5)


def test_proposals_of_caffe_windows_scale_in_pixels() -> None:
    from caffe.layers.detection.proposal import _anchors_in_pixels

    # a square of 16, and twice as high as wide: 11.31 by 22.63 are 10 and 22 and a half less than 1 apart
    np.testing.assert_array_equal(
        _anchors_in_pixels(16, [1.0, 2.0], [32.0]), [[-8, -8, 23, 23], [-3.5, -14.5, 18.5, 29.5]]
    )
