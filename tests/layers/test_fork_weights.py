"""Layers of the forks that weight values by another bottom, against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from harness import make_layer

from caffe.blob import Blob
from caffe.errors import ShapeError


def forward(text: str, *arrays: np.ndarray) -> np.ndarray:
    layer = make_layer(text, *(a.shape for a in arrays))
    bottoms, top = [Blob(*a.shape) for a in arrays], Blob()
    for blob, a in zip(bottoms, arrays):
        blob.data[...] = a
    layer.forward(bottoms, [top])
    return top.data


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape)


def test_weighted_euclidean_loss() -> None:
    a, b, w = noise(3, 4), noise(3, 2, 2), np.abs(noise(3, 4, 1))
    found = forward('type: "WeightedEuclideanLoss"', a, b, w)
    expected = (w.reshape(3, 4) * (a - b.reshape(3, 4)) ** 2).sum() / 6
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ShapeError, match="as many values"):
        make_layer('type: "WeightedEuclideanLoss"', (3, 4), (3, 4), (3, 1))


def test_channel_scale_undoes_normalize() -> None:
    x = noise(2, 3, 4, 5)
    layer = make_layer('type: "Normalize" normalize_param { }', x.shape, tops=2)
    bottom, tops = Blob(*x.shape), [Blob(), Blob()]
    bottom.data[...] = x
    layer.forward([bottom], tops)
    np.testing.assert_allclose(
        forward('type: "ChannelScale"', *(t.data for t in tops)), x, rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ShapeError, match="one value for each image"):
        make_layer('type: "ChannelScale"', (2, 3, 4, 5), (2, 3))
