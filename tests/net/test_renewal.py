"""Old values are let go before new ones are made, and nothing that is still needed with them."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.errors import CaffeError, StateError


@pytest.fixture(params=[caffe.TRAIN, caffe.TEST])
def net(request: pytest.FixtureRequest) -> caffe.Net:
    n = caffe.NetSpec()
    n.data, n.label = L.Input(shape=[dict(dim=[4, 3]), dict(dim=[4])], ntop=2)
    n.one = L.InnerProduct(n.data, num_output=5, weight_filler=dict(type="xavier"))
    n.relu = L.ReLU(n.one, in_place=True)
    n.two = L.InnerProduct(n.relu, num_output=2, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.two, n.label)
    net = caffe.Net(n, request.param)
    net.blobs["data"].data[...] = np.random.default_rng(1).normal(size=(4, 3))
    return net


def test_old_values_are_gone_when_a_layer_computes_anew(net: caffe.Net) -> None:
    net.forward()
    old = weakref.ref(net.blobs["two"].tensor)
    seen: list[Any] = []
    layer = next(s.layer for s in net.steps if s.name == "two")
    compute = layer.compute  # type: ignore[attr-defined]
    layer.compute = lambda *x: (seen.append(old()), compute(*x))[1]  # type: ignore[attr-defined]
    net.forward()
    assert seen == [None]


def test_views_keep_what_they_show(net: caffe.Net) -> None:
    net.forward()
    view = net.blobs["two"].data
    before = view.copy()
    net.blobs["data"].data[...] += 1
    net.forward()
    assert np.array_equal(view, before)
    assert not np.array_equal(net.blobs["two"].data, before)


def test_a_part_reads_what_the_rest_has_made(net: caffe.Net) -> None:
    net.forward()
    relu, two = net.blobs["one"].data.copy(), net.blobs["two"].data.copy()
    net.forward(start="relu", end="relu")  # in place: its bottom must stay
    assert np.array_equal(net.blobs["one"].data, relu)
    net.forward(start="two")
    assert np.array_equal(net.blobs["two"].data, two)
    net.clear_param_diffs()
    net.backward()
    part = {k: v[0].diff.copy() for k, v in net.params.items()}
    net.clear_param_diffs()
    net.forward()
    net.backward()
    assert all(np.allclose(part[k], v[0].diff, rtol=1e-6) for k, v in net.params.items())


def test_what_a_stopped_forward_did_not_reach_says_so(net: caffe.Net) -> None:
    net.forward()
    net.blobs["label"].data[0] = 7
    with pytest.raises(CaffeError):
        net.forward()
    assert net.blobs["two"].data.shape == (4, 2)
    with pytest.raises(StateError, match="stopped before"):
        _ = net.blobs["loss"].data
    net.blobs["label"].data[0] = 1
    net.forward()
    assert np.isfinite(net.blobs["loss"].data)
