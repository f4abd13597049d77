"""caffe models and caffe root."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from caffe.cli.main import main as caffe_main
from caffe.cli.models import main
from caffe.cli.root import main as root_main
from caffe.data.downloads import Remote
from caffe.formats import prototxt
from caffe.models import catalogue


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(catalogue.entries())
    assert lines[0].split() == ["W", "lenet", "digit", "classification", "BVLC", "BSD-2-Clause"]
    assert main(["list", "ssd", "DETECTION"]) == 0
    names = [line[4:].split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [
        "ssd300_vgg_voc0712",
        "ssd300_vgg_coco",
        "ssd512_vgg_voc0712",
        "mobilenet_ssd",
        "wechat_qrcode_detect",
    ]


def test_list_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "squeezenet_v1.0", "--long"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("WD  squeezenet_v1.0")
    assert "Iandola et al." in out
    assert "deploy.prototxt, train_val.prototxt, solver.prototxt" in out
    assert "squeezenet_v1.0.caffemodel  sha384:b8dc96393e09" in out


def test_list_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "teapots"]) == 1
    assert "No model of the catalogue has teapots" in capsys.readouterr().err


def test_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert caffe_main(["models", "write", "lenet", "mobilenet_v1", f"--root={tmp_path}"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == [
        "examples/mnist/lenet.prototxt",
        "examples/mnist/lenet_train_test.prototxt",
        "examples/mnist/lenet_solver.prototxt",
        "models/mobilenet_v1/deploy.prototxt",
        "models/mobilenet_v1/train_val.prototxt",
        "models/mobilenet_v1/solver.prototxt",
    ]
    assert prototxt.read_net(paths[1]).param.layer[0].data_param.batch_size == 64


def test_write_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["write", "all", "--root", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len([*tmp_path.rglob("*.prototxt")]) > 50


def test_write_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["write", "vgg16", "--folder", "mine"]) == 0
    assert prototxt.read_solver("mine/solver.prototxt").net == "mine/train_val.prototxt"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["write", "vgg-16"], "Did you mean 'vgg16'"),
        (["write"], "Missing argument"),
        (["download", "alexnet"], "or 'bvlc_alexnet'"),
        (["download", "hed"], "no weights with a published digest"),
        (["upload"], "No such command"),
    ],
)
def test_mistakes(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) != 0
    assert said in capsys.readouterr().err


def test_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = b"weights" * 99
    known = catalogue.entry("mobilenet_v2")
    remote = Remote("mobilenet_v2.caffemodel", (), "sha256:" + hashlib.sha256(raw).hexdigest())
    small = catalogue.Entry(**{**known.__dict__, "files": (remote,)})
    monkeypatch.setitem(catalogue.entries(), "mobilenet_v2", small)
    (tmp_path / "mobilenet_v2.caffemodel").write_bytes(raw)
    monkeypatch.chdir(tmp_path)
    assert main(["download", "mobilenet_v2", f"--from={tmp_path}"]) == 0
    path = Path("models/mobilenet_v2/mobilenet_v2.caffemodel")
    assert capsys.readouterr().out.strip() == str(path)
    assert path.read_bytes() == raw


def test_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "cat.jpg").write_bytes(b"cat")
    assert root_main([str(tmp_path / "caffe"), "--offline", "--from", str(tmp_path / "here")]) == 0
    found = capsys.readouterr()
    assert f"brought  {tmp_path / 'caffe' / 'examples/images/cat.jpg'}" in found.out
    assert "written, 1 brought," in found.out
    assert "imagenet_mean.binaryproto: not at hand" in found.err
    assert root_main([str(tmp_path / "caffe"), "--from", str(tmp_path / "nowhere")]) == 1
    assert "must be a folder with files at hand" in capsys.readouterr().err
