"""Tops and forms that single forks add to layers of many."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.errors import CaffeError, LayerError

RNG = np.random.RandomState(5)
X = RNG.randn(2, 4, 3, 5).astype(np.float32)


def input_of(array: np.ndarray) -> caffe.net_spec.Top:
    return L.Input(shape={"dim": list(array.shape)})


def test_terms_of_the_softmax_loss() -> None:
    labels = RNG.randint(0, 4, (2, 3, 5)).astype(np.float32)
    n = caffe.NetSpec()
    n.x, n.labels = input_of(X), input_of(labels)
    n.loss, n.probs, n.each = L.SoftmaxWithLoss(n.x, n.labels, ntop=3, loss_param={"ignore_label": 2})
    tops = caffe.Net(n, caffe.TRAIN).forward(x=X, labels=labels)
    exp = np.exp(X)
    picked = np.take_along_axis(exp / exp.sum(1, keepdims=True), labels[:, None].astype(int), 1)[:, 0]
    terms = np.where(labels == 2, 0, -np.log(picked))
    np.testing.assert_allclose(tops["each"], terms, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tops["loss"], terms.sum() / (labels != 2).sum(), rtol=1e-5)


def test_each_place_of_the_smooth_l1_loss() -> None:
    n = caffe.NetSpec()
    n.x, n.y = input_of(X), input_of(X)
    n.loss, n.each = L.SmoothL1Loss(n.x, n.y, ntop=2)
    tops = caffe.Net(n, caffe.TRAIN).forward(x=3 * X, y=X)
    size = np.abs(2 * X)
    terms = np.where(size < 1, size**2 / 2, size - 0.5).sum(1, keepdims=True)
    np.testing.assert_allclose(tops["each"], terms, rtol=1e-5)
    np.testing.assert_allclose(tops["loss"], terms.sum() / 2, rtol=1e-5)


def test_gradient_of_heatmaps() -> None:
    n = caffe.NetSpec()
    n.x, n.y = input_of(X), input_of(X)
    n.moved = L.Power(n.x, scale=2)
    n.loss = L.EuclideanLossHeatmap(n.moved, n.y, loss_weight=3)
    param = n.to_proto()
    param.force_backward = True
    net = caffe.Net(param, caffe.TRAIN)
    np.testing.assert_allclose(net.forward(x=X, y=X / 2)["loss"], np.square(1.5 * X).mean(), rtol=1e-5)
    net.backward()
    np.testing.assert_allclose(net.blobs["moved"].diff, 3 * 1.5 * X, rtol=1e-5)


def pruned(**settings: object) -> caffe.Net:
    n = caffe.NetSpec()
    n.x = input_of(X)
    n.y = L.Filter(n.x, filter_param=settings)
    return caffe.Net(n, caffe.TEST)


def test_channels_that_a_filter_keeps() -> None:
    net = pruned(num_output=2)
    net.params["y"][0].data[...] = [1, 0, 0, 1]
    np.testing.assert_array_equal(net.forward(x=X)["y"], X[:, [0, 3]])
    net.params["y"][0].data[...] = [1, 0, 0, 0]
    with pytest.raises(LayerError, match="must be the number of selected channels, 1; got 2"):
        net.forward(x=X)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_output": 5}, "5 or more"),
        ({"num_output": 2, "channel": [1, 3]}, "channel"),
        ({"num_output": 0}, "takes at least 2 bottom"),
    ],
)
def test_filters_that_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        pruned(**settings)
