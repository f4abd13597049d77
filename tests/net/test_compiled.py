"""Compiled nets: the same figures, blobs in the middle, changed weights, layers that cannot be compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from inference_net import small_net

import caffe
from caffe import layers as L
from caffe import logs


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(logs, "warning", lines.append)
    return lines


def filled(net: caffe.Net, seed: int = 1) -> caffe.Net:
    data = net.blobs["data"].data
    data[...] = np.random.default_rng(seed).normal(size=data.shape)
    return net


def close(a: Any, b: Any) -> bool:
    return bool(np.abs(a - b).max() <= 1e-5 * np.abs(b).max())


@pytest.mark.timeout(300)
def test_a_compiled_net(said: list[str]) -> None:
    eager, net = filled(small_net()), filled(small_net())
    net.compile()
    for _ in range(3):
        assert close(net.forward()["prob"], eager.forward()["prob"])
    assert not said

    # blobs in the middle, even though the input was written over meanwhile
    filled(net, 2)
    for name in ("conv", "cat", "ip"):
        assert close(net.blobs[name].data, eager.blobs[name].data)
    filled(eager, 2)
    assert close(net.forward(blobs=["left"])["left"], eager.forward(blobs=["left"])["left"])

    # a part of the net, and hooks, run layer by layer
    assert close(net.forward(start="ip")["prob"], eager.forward(start="ip")["prob"])

    # weights changed, also through a view that was made before
    weights = [n.params["conv"][0].data for n in (eager, net)]
    for view in weights:
        view[1] *= 2
    assert close(net.forward()["prob"], eager.forward()["prob"])
    assert "changed" in said.pop()
    for view in weights:
        view[0] += 1
    assert close(net.forward()["prob"], eager.forward()["prob"])
    assert "changed" in said.pop()
    del view, weights

    # another shape
    for n in (eager, net):
        n.blobs["data"].reshape(3, 3, 9, 8)
        filled(n)
    for _ in range(2):
        assert close(net.forward()["prob"], eager.forward()["prob"])

    net.compile(False)
    assert close(net.forward()["prob"], eager.forward()["prob"])
    assert not said


def test_python_layers_run_between(said: list[str]) -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3]))
    n.scaled = L.Python(n.data, module="python_layers", layer="Scaled")
    n.out = L.Power(n.scaled, scale=-1)
    net = filled(caffe.Net(n, caffe.TEST))
    expected = net.forward()["out"].copy()
    net.compile()
    for _ in range(2):
        assert close(net.forward()["out"], expected)
    assert "Nothing in net" in said.pop()


def test_backward_after_a_compiled_forward() -> None:
    def build() -> caffe.Net:
        n = caffe.NetSpec()
        n.data, n.target = (L.Input(shape=dict(dim=[2, 3])) for _ in range(2))
        n.ip = L.InnerProduct(n.data, num_output=3, weight_filler=dict(type="constant", value=0.3))
        n.sig = L.Sigmoid(n.ip, in_place=True)
        n.loss = L.EuclideanLoss(n.sig, n.target)
        return filled(caffe.Net(n, caffe.TEST))

    eager, net = build(), build()
    net.compile()
    for _ in range(2):
        losses = [n.forward()["loss"] for n in (net, eager)]
    for n in (net, eager):
        n.clear_param_diffs()
        n.backward()
    assert close(*losses)
    assert close(net.params["ip"][0].diff, eager.params["ip"][0].diff)


def test_nets_for_training_say_so(said: list[str]) -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3]))
    n.ip = L.InnerProduct(n.data, num_output=3)
    caffe.Net(n, caffe.TRAIN).compile()
    assert "for training" in said[0]


@pytest.mark.timeout(300)
def test_each_net_has_code_of_its_own(said: list[str]) -> None:
    """torch.compile stops compiling a piece of code anew after some times."""
    for width in (3, 4):
        n = caffe.NetSpec()
        n.data = L.Input(shape=dict(dim=[2, width]))
        n.ip = L.InnerProduct(n.data, num_output=5, weight_filler=dict(type="xavier"))
        n.prob = L.Softmax(n.ip)
        net = filled(caffe.Net(n, caffe.TEST))
        net.compile()
        with torch._dynamo.config.patch(error_on_recompile=True):
            for _ in range(3):
                net.forward()
    assert not said
