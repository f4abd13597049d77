"""LRN, MVN and BatchNorm: formulas written out, running statistics, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness import make_layer

from caffe.blob import Blob
from caffe.errors import LayerError, ShapeError
from caffe.tensor_layer import TensorLayer


def layer_of(text: str, *shapes: tuple[int, ...], phase: str = "TRAIN") -> TensorLayer:
    layer = make_layer(text, *shapes, phase=phase)
    assert isinstance(layer, TensorLayer)
    return layer


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("size, channels", [(1, 3), (3, 7), (5, 4), (9, 3), (5, 257)])
@pytest.mark.parametrize("beta", [0.5, 0.75, 0.9, 1.0])
def test_lrn_across_channels(size: int, channels: int, beta: float, channels_last: bool) -> None:
    x = np.random.default_rng(0).standard_normal((2, channels, 3, 5)) * 3
    layer = layer_of(
        f'type: "LRN" lrn_param {{ local_size: {size} alpha: 0.5 beta: {beta} k: 1.5 }}', x.shape
    )
    expected = np.zeros_like(x)
    for c in range(channels):
        near = x[:, max(c - size // 2, 0) : c + size // 2 + 1]
        expected[:, c] = x[:, c] / (1.5 + 0.5 / size * (near**2).sum(1)) ** np.float32(beta)
    tensor = torch.from_numpy(x)
    if channels_last:
        tensor = tensor.contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(layer.compute(tensor).numpy(), expected, rtol=1e-10)


def test_lrn_within_channel_ignores_k() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    layer = layer_of(
        'type: "LRN" lrn_param { local_size: 3 alpha: 0.5 k: 7 norm_region: WITHIN_CHANNEL }', x.shape
    )
    padded = np.pad(x**2, [(0, 0), (0, 0), (1, 1), (1, 1)])
    energy = sum(padded[:, :, i : i + 4, j : j + 5] for i in range(3) for j in range(3))
    np.testing.assert_allclose(
        layer.compute(torch.from_numpy(x)).numpy(), x * (1 + 0.5 / 9 * energy) ** -0.75, rtol=1e-10
    )


def test_mvn_gradient_takes_eps_as_part_of_the_deviation() -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 3, 4, 5))
    layer = layer_of('type: "MVN" mvn_param { eps: 0.5 }', x.shape)
    tensor = torch.from_numpy(x).requires_grad_()
    y = layer.compute(tensor)
    y.backward(torch.from_numpy(dy))
    axes = (2, 3)
    centred = x - x.mean(axes, keepdims=True)
    scale = np.sqrt((centred**2).mean(axes, keepdims=True)) + 0.5
    expected = centred / scale
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12)
    gradient = dy - dy.mean(axes, keepdims=True) - expected * (dy * expected).mean(axes, keepdims=True)
    assert tensor.grad is not None
    np.testing.assert_allclose(tensor.grad.numpy(), gradient / scale, rtol=1e-10)


def test_mvn_of_a_constant_is_zero_with_a_finite_gradient() -> None:
    layer = layer_of('type: "MVN"', (2, 3, 4, 5))
    x = torch.full((2, 3, 4, 5), 3.0, requires_grad=True)
    y = layer.compute(x)
    y.sum().backward()
    assert not y.any()
    assert x.grad is not None and torch.isfinite(x.grad).all()


def forward(layer: TensorLayer, x: np.ndarray) -> np.ndarray:
    bottom, top = Blob(*x.shape), Blob()
    bottom.data[...] = x
    layer.needs.bottoms, layer.needs.params = [True], [False] * 3
    layer.forward([bottom], [top])
    return top.data


@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (4, 3), (6,), (2, 3, 2, 2, 3)], ids=str)
def test_batch_norm_running_statistics(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    layer = layer_of('type: "BatchNorm" batch_norm_param { moving_average_fraction: 0.75 }', shape)
    mean_sum, var_sum, weight_sum = 0.0, 0.0, 0.0
    axes = tuple(i for i in range(len(shape)) if i != 1)
    for _ in range(3):
        x = rng.standard_normal(shape) * 2 + 1
        forward(layer, x)
        count = np.prod(shape) // (shape[1] if len(shape) > 1 else 1)
        mean_sum = 0.75 * mean_sum + x.mean(axes)
        var_sum = 0.75 * var_sum + x.var(axes) * count / (count - 1)
        weight_sum = 0.75 * weight_sum + 1
    for blob, expected in zip(layer.blobs, (mean_sum, var_sum, weight_sum)):
        np.testing.assert_allclose(blob.data, np.atleast_1d(expected), rtol=1e-5)

    test = layer_of('type: "BatchNorm"', shape, phase="TEST")
    for mine, theirs in zip(test.blobs, layer.blobs):
        mine.data[...] = theirs.data
    view = (-1,) + (1,) * (len(shape) - 2) if len(shape) > 1 else ()
    mean, var = (np.reshape(s / weight_sum, view) for s in (mean_sum, var_sum))
    np.testing.assert_allclose(forward(test, x), (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)


def test_batch_norm_of_one_value_a_channel() -> None:
    layer = layer_of('type: "BatchNorm"', (1, 3))
    bottom, top = Blob(1, 3), Blob(1, 3)
    bottom.data[...] = [[1, 2, 3]]
    layer.needs.bottoms, layer.needs.params = [True], [False] * 3
    layer.forward([bottom], [top])
    assert not top.data.any()
    assert layer.blobs[0].data.tolist() == [1, 2, 3]
    assert layer.blobs[1].data.tolist() == [0, 0, 0]
    top.diff[...] = [[4, 5, 6]]
    layer.backward([top], [True], [bottom])
    assert not bottom.diff.any()


def test_batch_norm_without_statistics_takes_zero_for_both() -> None:
    layer = layer_of('type: "BatchNorm" batch_norm_param { eps: 0.25 }', (2, 3), phase="TEST")
    assert forward(layer, np.ones((2, 3))).tolist() == [[2.0] * 3] * 2


def test_batch_norm_counts_a_batch_once() -> None:
    """Backward of a TEST net with batch statistics must not count the batch again."""
    layer = layer_of('type: "BatchNorm" batch_norm_param { use_global_stats: false }', (4, 3), phase="TEST")
    x = np.random.default_rng(0).standard_normal((4, 3))
    bottom, top = Blob(4, 3), Blob(4, 3)
    bottom.data[...] = x
    layer.needs.bottoms, layer.needs.params = [True], [False] * 3
    layer.forward([bottom], [top])
    top.diff[...] = x
    layer.backward([top], [True], [bottom])
    assert layer.blobs[2].data.tolist() == [1.0]


@pytest.mark.parametrize(
    "text, shape, field, message",
    [
        ('type: "LRN" lrn_param { local_size: 4 }', (2, 3, 4, 5), "local_size", "must be odd; got 4"),
        ('type: "LRN" lrn_param { local_size: 0 }', (2, 3, 4, 5), "local_size", "must be odd; got 0"),
        ('type: "LRN"', (2,), None, "must be N×C×H×W; got shape [2]"),
        ('type: "LRN" lrn_param { norm_region: WITHIN_CHANNEL }', (2, 3), None, "must be N×C×H×W"),
        ('type: "MVN"', (), None, "at least 1 axis"),
        ('type: "BatchNorm"', (), None, "at least 1 axis"),
    ],
)
def test_bad_parameters(text: str, shape: tuple[int, ...], field: str | None, message: str) -> None:
    with pytest.raises(LayerError) as caught:
        make_layer(text, shape)
    assert caught.value.field == field
    assert message in str(caught.value)


def test_batch_norm_channels_that_change_later() -> None:
    layer = layer_of('type: "BatchNorm"', (2, 3, 4, 5))
    with pytest.raises(ShapeError, match="has 6 channels; the layer's statistics are for 3"):
        layer.reshape([Blob(2, 6, 4, 5)], [Blob()])
