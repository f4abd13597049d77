"""Inference mode: same figures, freed blobs, clear messages."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
from inference_net import small_net

import caffe
from caffe import layers as L
from caffe.errors import StateError, UnknownNameError


@pytest.fixture
def net() -> caffe.Net:
    net = small_net()
    net.blobs["data"].data[...] = np.random.default_rng(1).normal(size=(2, 3, 9, 8))
    return net


def test_same_outputs_and_middle_blobs_freed(net: caffe.Net) -> None:
    expected = net.forward()["prob"].copy()
    middle = net.blobs["cat"].data.copy()
    net.set_inference(keep=["cat"])
    for _ in range(2):
        assert np.array_equal(net.forward()["prob"], expected)
    assert np.array_equal(net.blobs["cat"].data, middle)
    assert net.blobs["data"].data.any()
    for name in ("conv", "left", "right", "ip"):
        with pytest.raises(StateError, match=rf"blob '{name}': .*freed after layer .*set_inference"):
            net.blobs[name].data
    net.set_inference(False)
    net.forward()
    assert net.blobs["conv"].data.any()


def test_blobs_asked_for_stay(net: caffe.Net) -> None:
    net.set_inference()
    found = net.forward(blobs=["conv", "ip"])
    assert found["conv"].shape == (2, 4, 7, 6)
    assert found["ip"].any()
    net.forward()
    with pytest.raises(StateError):
        net.blobs["ip"].data


def test_in_parts(net: caffe.Net) -> None:
    expected = net.forward()["prob"].copy()
    net.set_inference()
    assert net.forward(end="cat")["cat"].shape == (2, 9, 4, 3)
    assert np.array_equal(net.forward(start="sig")["prob"], expected)
    with pytest.raises(StateError, match="freed after layer"):
        net.forward(start="left")


def test_another_shape(net: caffe.Net) -> None:
    net.set_inference()
    net.forward()
    net.blobs["data"].reshape(5, 3, 9, 8)
    net.reshape()
    assert net.forward()["prob"].shape == (5, 6)


def test_backward_and_unknown_names_raise(net: caffe.Net) -> None:
    with pytest.raises(UnknownNameError, match="conf"):
        net.set_inference(keep=["conf"])
    net.set_inference()
    net.forward()
    with pytest.raises(StateError, match=r"set_inference\(False\)"):
        net.backward()


def test_computed_again_when_read(net: caffe.Net) -> None:
    expected = net.forward(blobs=["conv", "cat"])
    expected = {name: values.copy() for name, values in expected.items()}
    net.set_inference(recompute=True)
    found = net.forward()["prob"]
    assert net.blobs["conv"].data_memory.freed
    assert np.array_equal(net.blobs["conv"].data, expected["conv"])
    assert np.array_equal(net.blobs["cat"].data, expected["cat"])
    assert np.array_equal(found, expected["prob"])
    net.forward()
    assert net.blobs["conv"].data_memory.freed
    net.backward(prob=np.ones((2, 6)))
    assert net.blobs["conv"].data.any()


def test_python_layers_write_into_freed_tops() -> None:
    net = caffe.Net(_with_python_layer(), caffe.TEST)
    net.blobs["data"].data[...] = 3
    net.set_inference()
    for _ in range(2):
        assert np.allclose(net.forward()["out"], -6)
    with pytest.raises(StateError):
        net.blobs["scaled"].data


def _with_python_layer() -> Any:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3]))
    n.scaled = L.Python(n.data, module="python_layers", layer="Scaled")
    n.out = L.Power(n.scaled, scale=-1)
    return n


def test_relus_in_place_keep_nothing() -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 9, 8]))
    n.scale = L.Scale(n.data)
    n.relu = L.ReLU(n.scale, in_place=True)
    n.pool = L.Pooling(n.relu, global_pooling=True)
    net = caffe.Net(n, caffe.TEST)
    net.set_inference()
    kept = []
    relu = next(op.layer for op in net.plan().ops if op.names == "relu")
    forward = relu.forward_keeping

    def watched(bottom: Any, top: Any, keep: Any) -> Any:
        found = forward(bottom, top, keep)
        kept.append(weakref.ref(top[0].tensor))
        return found

    relu.forward_keeping = watched  # type: ignore[method-assign]
    net.forward()
    assert len(kept) == 1
    assert kept[0]() is None
