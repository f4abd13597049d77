"""What the guides tell to type is understood, and their Python runs as it stands."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest
import torch
from support_assets import ROOT
from support_data import noise, raw_records, write_records

import caffe
from caffe import layers as L
from caffe.cli.commands import COMMANDS, load
from caffe.passes.forms import train_form

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ELSEWHERE = {
    "cv2.dnn": "of a file that an export wrote",
    "openvino": "a package that is not asked for",
    "coremltools": "a package that is not asked for",
    "tritonclient": "a server must run; tests/serving speaks with it",
    "from net import load": "of a file that an export wrote; tests/export runs such",
    "class Inception": "a part of what an export writes",
    "def train(proto, gpus": "needs several devices; tests/parallel runs such",
    "onnxruntime": "of a file that an export wrote; tests/export runs such",
    "from_onnx(": "of a file that is not here; tests/importing reads such",
    "PhotoDetector(": "of a net that finds things; tests/predict runs such",
    "caffe.legacy.install()": "in notebooks alone; tests/legacy run it there",
    "net.compile()": "takes a minute; tests/kernels compile",
}
"""Blocks that are not run here, by words in them, and why."""


def commands() -> list[Any]:
    """Each line of the guides that begins with ``caffe``, outside of tables and prose."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        shell = "\n".join(code for kind, code in _FENCED.findall(text) if kind in ("", "bash"))
        shell += "\n" + "\n".join(re.findall(r"^    (caffe .*)$", _FENCED.sub("", text), re.MULTILINE))
        for line in shell.splitlines():
            command = re.split(r"\s{2,}|\s#", line)[0]  # behind them stands what it does
            if command.startswith("caffe ") and not re.search(r"\[|…|\{", command):
                found.append(pytest.param(command, id=f"{page.stem}: {command}"))
    return found


@pytest.mark.parametrize("line", commands())
def test_commands_are_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line)[1:]
    if words[0].startswith("-"):
        return
    assert words[0] in COMMANDS
    command, name = load(words[0]), words.pop(0)
    if isinstance(command, click.Group):
        name += f" {words[0]}"
        command = command.commands[words.pop(0)]
    monkeypatch.chdir(tmp_path)
    for word in words:  # some flags want a file or folder that is there
        for part in word.rpartition("=")[2].split(","):
            file = Path(part)
            if not file.is_absolute() and ":" not in part and "*" not in part:
                (file.parent if file.suffix else file).mkdir(parents=True, exist_ok=True)
                if file.suffix:
                    file.touch()
    with command.make_context(name, words):
        pass


def blocks() -> list[Any]:
    return [
        pytest.param(code, id=f"{page.stem}-{i}")
        for page in PAGES
        for i, (kind, code) in enumerate(_FENCED.findall(page.read_text(encoding="utf-8")))
        if kind == "python"
    ]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the guides speak of: a small net under all their names, data, a photo."""
    place = tmp_path_factory.mktemp("desk")
    write_records(place / "records_lmdb", raw_records(noise(12, 3, 227, 227), [i % 10 for i in range(12)]))
    cv2.imwrite(str(place / "cat.jpg"), cv2.resize(noise(9, 11, 3), (60, 50)))
    cv2.imwrite(str(place / "street.jpg"), cv2.resize(noise(9, 11, 3), (60, 50)))
    n = caffe.NetSpec()
    n.data = L.Input(shape=[2, 3, 227, 227])
    n.conv1 = L.Convolution(n.data, num_output=4, kernel_size=7, stride=16, weight_filler={"type": "xavier"})
    n.conv2 = L.Convolution(n.conv1, num_output=5, kernel_size=3, stride=2, weight_filler={"type": "xavier"})
    n.pool5 = L.Pooling(n.conv2, kernel_size=2)
    n.fc7 = L.InnerProduct(n.pool5, num_output=10, weight_filler={"type": "xavier"})
    n.prob = L.Softmax(n.fc7)
    deploy = n.to_proto()
    (place / "deploy.prototxt").write_text(str(deploy))
    net = caffe.Net(str(place / "deploy.prototxt"), caffe.TEST)
    for name in ("net", "squeezenet", "weights", "w", "other", "ssd"):
        net.save(place / f"{name}.caffemodel")
    data = L.Data(source="records_lmdb", batch_size=4, backend=caffe.params.Data.LMDB, ntop=2)
    source = caffe.to_proto(*data).layer[0]
    source.transform_param.scale = 0.01
    trained = train_form(caffe.formats.prototxt.NetFile(deploy), source, source)
    (place / "train_val.prototxt").write_text(str(trained))
    (place / "train.prototxt").write_text(str(trained))
    (place / "solver.prototxt").write_text(
        'net: "train_val.prototxt" base_lr: 0.001 lr_policy: "fixed" max_iter: 4 test_iter: 1 test_interval: 2 '
        'snapshot: 4 snapshot_prefix: "run" solver_mode: CPU display: 0'
    )
    return place


def names(code: str) -> dict[str, Any]:
    """What blocks take as given."""
    return {
        "caffe": caffe,
        "np": np,
        "torch": torch,
        "image": noise(3, 32, 32),
        "images": torch.zeros(2, 3, 227, 227) if "labels" in code else np.zeros((2, 3, 227, 227), np.float32),
        "labels": torch.zeros(2),
        "x": torch.zeros(2, 3, 224, 224),
        "batch": np.zeros((2, 3, 227, 227), np.float32),
        "data": np.zeros((2, 3, 227, 227), np.float32),
        "module": torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 9, 8),
            torch.nn.Flatten(),
            torch.nn.Linear(4 * 27 * 27, 3),
            torch.nn.Softmax(1),
        ),
        "on_start": lambda: None,
        "on_gradients_ready": lambda: None,
        "net": caffe.Net("deploy.prototxt", caffe.TEST, weights="net.caffemodel"),
    }


@pytest.mark.parametrize("code", blocks())
def test_python_runs(code: str, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, why in _ELSEWHERE.items():
        if words in code:
            pytest.skip(why)
    for module in re.findall(r"^import (\w+)", code, re.MULTILINE):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs the package {module}")
    shutil.copytree(desk, tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")
    scope = names(code)
    exec(compile(code, "guide", "exec"), scope)
