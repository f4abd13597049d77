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


def masks_found(found: np.ndarray, truth: np.ndarray) -> list[float]:
    n = caffe.NetSpec()
    n.found, n.truth = input_of(found), input_of(truth)
    n.shares = L.SegmentationEvaluate(
        n.found, n.truth, segmentation_evaluate_param={"num_classes": 4, "threshold": 0.3}
    )
    return caffe.Net(n, caffe.TEST).forward(found=found, truth=truth)["shares"][0, 0, 0].tolist()


def test_masks_that_are_found() -> None:
    """Half of a square, all of it, one that is not there, none where none is."""
    truth = np.zeros((1, 4, 8, 12), np.float32)
    truth[0, :2, 2:6, 4:8] = 1
    found = np.zeros_like(truth)
    found[0, 0, 2:6, 4:6] = 0.9
    found[0, 1, 2:6, 4:8] = 0.31
    found[0, 2, :2] = 1
    assert masks_found(found, truth) == [0.5, 1, 0, 0]
    found[0, 1] *= 2
    assert masks_found(found[:, :, ::2, ::2], truth)[1:] == [1, -1, -1]


def test_rates_of_statistics_in_nvidias_form() -> None:
    """With a scale of its own BatchNorm sets the rates of its statistics to 0, whatever the prototxt says."""
    n = caffe.NetSpec()
    n.x = input_of(X)
    settings = {"scale_filler": {"type": "constant", "value": 1}}
    n.y = L.BatchNorm(n.x, param=[{"lr_mult": 1}], batch_norm_param=settings)
    n.loss = L.Reduction(n.y, loss_weight=1)
    rates = [param.lr_mult for param in caffe.Net(n, caffe.TRAIN).learnable]
    assert rates == [0, 0, 0, 1, 1]
    n.y = L.BatchNorm(n.x, param=[{"lr_mult": 1}])
    with pytest.raises(LayerError, match="its lr_mult must be 0"):
        caffe.Net(n, caffe.TRAIN)
