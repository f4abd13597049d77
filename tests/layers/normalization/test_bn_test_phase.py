"""BN in TEST: PSPNet, yjxiong and caffe-windows compute the gradient as if the running statistics were the batch's."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe.formats import prototxt

NET = """force_backward: true
layer {{ name: "d" type: "Input" top: "x" input_param {{ shape {{ dim: 4 dim: 3 dim: 2 dim: 5 }} }} }}
layer {{ name: "bn" type: "BN" bottom: "x" top: "y"
  bn_param {{ slope_filler {{ type: "constant" value: 1 }} {more} }} }}
"""


def run(
    phase: int, x: np.ndarray, statistics: tuple[np.ndarray, np.ndarray] | None, more: str
) -> list[np.ndarray]:
    net = caffe.Net(prototxt.parse_net(NET.format(more=more)), phase)
    rng = np.random.default_rng(3)
    for blob in net.params["bn"][:2]:
        blob.data[...] = rng.normal(size=blob.shape)
    if statistics is not None:
        for blob, values in zip(net.params["bn"][2:], statistics):
            blob.data.flat = values
    net.blobs["x"].data[...] = x
    net.forward()
    net.blobs["y"].diff[...] = rng.normal(size=x.shape)
    net.backward()
    return [net.blobs["y"].data, net.blobs["x"].diff, *(b.diff for b in net.params["bn"][:2])]


@pytest.mark.parametrize("more, inverse", [("icnet: true", False), ("", False), ("inverse_std: true", True)])
def test_with_the_batchs_statistics_it_is_that_of_training(more: str, inverse: bool) -> None:
    x = np.random.default_rng(2).normal(size=(4, 3, 2, 5)).astype(np.float32)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    second = 1 / np.sqrt(variance + 1e-5) if inverse else variance
    trained = run(caffe.TRAIN, x, None, more)
    for found, wanted in zip(run(caffe.TEST, x, (mean, second), more), trained):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_frozen_statistics_are_constant() -> None:
    x = np.random.default_rng(2).normal(size=(4, 3, 2, 5)).astype(np.float32)
    statistics = (np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, 0.5]))
    found = run(caffe.TEST, x, statistics, "frozen: true")
    rng = np.random.default_rng(3)
    slope, _, grad = rng.normal(size=3), rng.normal(size=3), rng.normal(size=x.shape)
    np.testing.assert_allclose(
        found[1], grad * (slope / np.sqrt(statistics[1] + 1e-5))[:, None, None], rtol=1e-4, atol=1e-6
    )


def test_weights_of_two_axes_or_four() -> None:
    """PSPNet's files have (1, C, 1, 1), yjxiong's (1, C)."""
    layer = caffe.Net(prototxt.parse_net(NET.format(more="")), caffe.TEST).layers[1]
    arrays = [np.full((1, 3, 1, 1), i, np.float32) for i in range(4)]
    assert [a.shape for a in layer.adapt_weights(arrays)] == [(1, 3)] * 4
