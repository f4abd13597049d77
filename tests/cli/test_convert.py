"""``caffe convert``: where models come from, what is written, what is said."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

import caffe
from caffe.cli.convert import main

MODULE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Block(), nn.MaxPool2d(2))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class Twisted(nn.Module):
    def forward(self, x):
        return torch.linalg.det(x)


def small():
    return Small(), (2, 3, 12, 10)


def tensors():
    torch.manual_seed(2)
    return Small(), (torch.randn(1, 3, 8, 6),)


def twisted():
    return Twisted(), (1, 3, 3)


def nothing():
    return 7
"""


@pytest.fixture
def source(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path / "mine.py"


def test_a_function_of_a_file(source, tmp_path, capsys):
    assert main([f"{source}:small", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "Small: " in said
    assert "data 2×3×12×10" in said
    assert "checked against the model" in said
    net = caffe.Net(str(tmp_path / "out.prototxt"), str(tmp_path / "out.caffemodel"), caffe.TEST)
    assert [n for n in net._layer_names if n.startswith("body")] == [
        "body.0.conv", "body.0.bn", "body.0.bn/scale", "body.0.relu", "body.1",
    ]  # fmt: skip
    assert net.blobs[net.outputs[0]].shape == (2, 5)


def test_files_are_replaced_with_force_only(source, tmp_path, capsys):
    (tmp_path / "out.caffemodel").write_text("mine")
    assert main([f"{source}:small", str(tmp_path / "out.prototxt")]) == 1
    assert "out.caffemodel is there already" in capsys.readouterr().err
    assert not (tmp_path / "out.prototxt").exists()
    assert main([f"{source}:small", str(tmp_path / "out.prototxt"), "--force"]) == 0
    assert (tmp_path / "out.caffemodel").stat().st_size > 100


def test_folding_weights_and_report(source, tmp_path, capsys):
    sys.path.insert(0, str(tmp_path))
    try:
        import mine

        torch.manual_seed(5)
        module = mine.Small().eval()
        module.body[0].bn.running_mean.normal_()
        module.body[0].bn.running_var.uniform_(0.5, 2)
    finally:
        sys.path.remove(str(tmp_path))
    torch.save({"state_dict": {f"module.{k}": v for k, v in module.state_dict().items()}}, tmp_path / "w.pth")
    arguments = [f"{source}:small", str(tmp_path / "out"), "--fold", f"--weights={tmp_path}/w.pth"]
    assert main([*arguments, "--shape=1,3,6,4", f"--report={tmp_path}/r.json", "--layers"]) == 0
    said = capsys.readouterr().out
    assert "folded into the layers before: 2" in said
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["parameters"] == 3 * 8 * 9 + 8 + 8 * 5 + 5
    assert report["multiply_adds"] == 3 * 8 * 9 * 6 * 4 + 8 * 5
    assert report["inputs"] == {"data": [1, 3, 6, 4]}
    assert report["types"] == {"Convolution": 1, "InnerProduct": 1, "Input": 1, "Pooling": 2, "ReLU": 1}
    assert max(report["layer_errors"].values()) < 1e-5
    net = caffe.Net(str(tmp_path / "out.prototxt"), str(tmp_path / "out.caffemodel"), caffe.TEST)
    x = torch.randn(1, 3, 6, 4)
    net.blobs["data"].data[...] = x.numpy()
    with torch.no_grad():
        np.testing.assert_allclose(net.forward()[net.outputs[0]], module(x).numpy(), atol=1e-5)


def test_a_saved_program(tmp_path):
    program = torch.export.export(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), (torch.randn(1, 3, 9, 7),)
    )
    torch.export.save(program, tmp_path / "m.pt2")
    assert main([str(tmp_path / "m.pt2"), str(tmp_path / "out")]) == 0
    net = caffe.Net(str(tmp_path / "out.prototxt"), str(tmp_path / "out.caffemodel"), caffe.TEST)
    assert net.blobs[net.outputs[0]].shape == (1, 4, 7, 5)
    (tmp_path / "cut.pt2").write_bytes((tmp_path / "m.pt2").read_bytes()[:700])
    assert main([str(tmp_path / "cut.pt2"), str(tmp_path / "out2")]) == 1
    assert not list(tmp_path.glob("out2*"))


def test_what_cannot_be_written_is_named_with_its_line(source, tmp_path, capsys):
    assert main([f"{source}:twisted", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    line = MODULE.splitlines().index("        return torch.linalg.det(x)") + 1
    assert f"mine.py:{line} (in forward: return torch.linalg.det(x))" in said
    assert "dialect 'bvlc'" in said
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mine.py:nothing", "must give a torch.nn.Module"),
        ("mine.py:smal", "small"),
        ("none.py:small", "no such file"),
        ("none.onnx", "no such file"),
        ("none.pt2", "no such file"),
        ("resnet50", "names no model"),
    ],
)
def test_sources_that_are_none(source, tmp_path, capsys, name, expected):
    given = str(tmp_path / name) if "." in name else name
    assert main([given, str(tmp_path / "out")]) == 1
    assert expected in capsys.readouterr().err


def test_an_unknown_dialect_gets_the_close_names(source, tmp_path, capsys):
    assert main([f"{source}:small", str(tmp_path / "out"), "--dialect=nvdia"]) == 1
    assert "nvidia" in capsys.readouterr().err


def test_checking_on_images(source, tmp_path, capsys):
    import cv2

    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.full((20, 30, 3), 90, np.uint8))
    arguments = [f"{source}:small", str(tmp_path / "out"), f"--images={tmp_path}/images"]
    assert main([*arguments, "--mean=100", "--scale=0.5"]) == 0
    assert "checked against the model" in capsys.readouterr().out
    assert main([f"{source}:small", str(tmp_path / "o"), f"--images={tmp_path}"]) == 1
    assert "holds no images" in capsys.readouterr().err


def test_ranges_over_images(source, tmp_path, capsys):
    import cv2

    (tmp_path / "images").mkdir()
    for i, value in enumerate((0, 200)):
        image = np.full((20, 30, 3), value, np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), image)
    arguments = [f"{source}:small", str(tmp_path / "out"), f"--ranges={tmp_path}/images"]
    assert main([*arguments, "--mean=100", "--scale=0.5"]) == 0
    table = json.loads((tmp_path / "out.ranges.json").read_text())
    first = next(r for r in table if r["layer"] == "data")
    assert (first["low"], first["high"]) == pytest.approx((-50, 50))
    assert first["int8_scale"] == pytest.approx(50 / 127)
    relu = next(r for r in table if r["layer"] == "body.0.relu")
    scale = next(r for r in table if r["layer"] == "body.0.bn/scale")
    assert relu["low"] == 0 > scale["low"]
    assert "int8 step" in capsys.readouterr().out
