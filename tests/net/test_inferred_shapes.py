"""Shapes of tops are found without running what need not be run, and once for layers that are alike."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import caffe
from caffe import layer_factory
from caffe import layers as L
from caffe.layers.vision.pooling import Pooling


def poolings(*kernels: int) -> caffe.NetSpec:
    n = caffe.NetSpec()
    n.x = L.Input(shape={"dim": [2, 3, 17, 13]})
    for i, kernel in enumerate(kernels):
        setattr(n, f"y{i}", L.Pooling(n.x, kernel_size=kernel, stride=2))
    return n


def test_layers_that_are_alike_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[int, ...]] = []
    compute = Pooling.compute
    monkeypatch.setattr(Pooling, "compute", lambda self, x: runs.append(tuple(x.shape)) or compute(self, x))
    net = caffe.Net(poolings(7, 9, 7, 7), caffe.TEST)
    shapes = [tuple(net.blobs[f"y{i}"].shape) for i in range(4)]
    assert shapes == [(2, 3, 6, 4), (2, 3, 5, 3), (2, 3, 6, 4), (2, 3, 6, 4)]
    assert len(runs) == 2
    net.blobs["x"].reshape(2, 3, 15, 13)
    net.reshape()
    assert tuple(net.blobs["y3"].shape) == (2, 3, 5, 4)
    assert len(runs) == 4


def test_users_layers_are_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Grows(caffe.TensorLayer):
        asked = 0

        def compute(self, x: torch.Tensor) -> torch.Tensor:
            type(self).asked += 1
            return x.new_zeros(type(self).asked)

    monkeypatch.setitem(layer_factory._registered, "Grows", Grows)
    n = caffe.NetSpec()
    n.x = L.Input(shape={"dim": [2]})
    n.a, n.b = L.Grows(n.x), L.Grows(n.x)
    net = caffe.Net(n, caffe.TEST)
    assert [tuple(net.blobs[name].shape) for name in "ab"] == [(1,), (2,)]


def test_building_does_not_load_a_compiler() -> None:
    """torch's compiler takes longer to import than most nets take to build."""
    code = (
        "import sys, caffe\n"
        "from caffe.models import googlenet, resnet\n"
        "nets = [caffe.Net(n, caffe.TEST) for n in (resnet.deploy(50), googlenet.deploy())]\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
