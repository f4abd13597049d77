"""Tables and HTML of nets, blobs and solvers: numbers by hand, well-formed markup, pictures that decode."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.display import blob_html, net_html, net_summary, solver_html, summary_rows, thumbnail


@pytest.fixture
def net():
    n = caffe.NetSpec("small <net>")
    n.data = L.Input(shape=[2, 3, 8, 9])
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=3, weight_filler=dict(type="xavier"))
    n.relu = L.ReLU(n.conv, in_place=True)
    n.up = L.Deconvolution(n.relu, num_output=5, kernel_size=2, stride=2, bias_term=False)
    n.fc = L.InnerProduct(n.relu, num_output=6)
    return caffe.Net(n, caffe.TEST)


class Balance(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_rows(net):
    rows = {row.name: row for row in summary_rows(net)}
    assert list(rows) == ["data", "conv", "relu", "up", "fc"]
    conv = rows["conv"]
    assert conv.tops == {"conv": (2, 4, 6, 7)} and conv.params == [(4, 3, 3, 3), (4,)]
    assert conv.param_count == 4 * 27 + 4
    assert conv.multiply_adds == (2 * 4 * 6 * 7) * 27 and conv.memory == 4 * 2 * 4 * 6 * 7
    assert rows["relu"].memory == rows["relu"].multiply_adds == 0  # in place
    assert rows["up"].multiply_adds == (2 * 4 * 6 * 7) * (5 * 2 * 2)
    assert rows["fc"].multiply_adds == 2 * 6 * (4 * 6 * 7)


def test_summary(net):
    text = net_summary(net)
    assert text == net.summary()
    assert re.search(r"conv +Convolution +conv +2 × 4 × 6 × 7 +112 +9,072 ", text)
    total = 112 + 80 + (168 * 6 + 6)
    assert re.search(rf"Total +{total:,} +", text)
    assert len({len(line) for line in text.splitlines() if line.startswith("---")}) == 1


def test_net_html(net):
    text = net_html(net)
    Balance(text)
    assert "small &lt;net&gt;" in text and "2 × 4 × 6 × 7" in text and text == net._repr_html_()


def picture(uri):
    assert uri.startswith("data:image/png;base64,")
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_UNCHANGED)


def test_blob_html(net):
    net.blobs["data"].data[...] = np.arange(2 * 3 * 8 * 9).reshape(2, 3, 8, 9)
    text = blob_html(net.blobs["data"])
    Balance(text)
    assert "2 × 3 × 8 × 9" in text and "0 … 431, mean 215.5" in text and "data:image/png" in text
    assert "diff" not in text
    net.blobs["data"].diff[...] = 2
    assert "diff: 2 … 2" in blob_html(net.blobs["data"])
    net.blobs["data"].data[0, 0, 0, :5] = np.nan
    assert "5 values are not finite" in blob_html(net.blobs["data"])
    assert "no values" in blob_html(caffe.Blob(0, 3))
    Balance(blob_html(caffe.Blob()))


def test_thumbnails():
    colour = np.zeros((2, 3, 8, 9), np.float32)
    colour[0, 2] = 1  # red, since channels are BGR
    shown = picture(thumbnail(colour))
    assert shown.shape[2] == 3 and shown[0, 0].tolist() == [0, 0, 255] and shown[0, -1].tolist() == [0, 0, 0]
    maps = picture(thumbnail(np.random.rand(2, 5, 8, 9)))
    assert maps.ndim == 2 and maps.shape[0] * (3 * 10 - 1) == maps.shape[1] * (2 * 9 - 1)  # 2 rows of 3 tiles
    assert picture(thumbnail(np.random.rand(6, 7))).shape == (132, 154)
    assert picture(thumbnail(np.full((6, 7), 3.0))).max() == 0
    assert thumbnail(np.ones(5)) is None and thumbnail(np.ones((1, 1, 5))) is None
    assert thumbnail(np.full((3, 4), np.nan)) is None


def test_solver_html(tmp_path):
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(shape=[dict(dim=[4, 3]), dict(dim=[4])], ntop=2)
    n.fc = L.InnerProduct(n.data, num_output=2)
    n.loss = L.SoftmaxWithLoss(n.fc, n.label)
    (tmp_path / "net.prototxt").write_text(str(n))
    (tmp_path / "solver.prototxt").write_text(
        f'train_net: "{tmp_path}/net.prototxt" base_lr: 0.25 lr_policy: "fixed" max_iter: 1000 type: "Adam"'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    solver.step(1)
    text = solver_html(solver)
    Balance(text)
    assert (
        "Adam solver" in text and "1 of 1,000" in text and "0.25 (fixed)" in text and "InnerProduct" in text
    )
