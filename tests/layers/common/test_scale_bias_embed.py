"""Scale, Bias, Embed and InnerProduct: which axes are meant, default fillers, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness import Array, make_layer

from caffe.blob import Blob
from caffe.errors import LayerError, ShapeError
from caffe.tensor_layer import TensorLayer


def run(text: str, *arrays: Array) -> Array:
    layer = make_layer(text, *(a.shape for a in arrays))
    assert isinstance(layer, TensorLayer)
    params = [torch.from_numpy(b.data).double() for b in layer.blobs]
    y = layer.compute(*map(torch.from_numpy, arrays), *params)
    assert isinstance(y, torch.Tensor)
    return y.numpy()


def test_scale_is_one_and_bias_zero_by_default() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    np.testing.assert_array_equal(run('type: "Scale" scale_param { bias_term: true }', x), x)
    np.testing.assert_array_equal(run('type: "Bias"', x), x)


@pytest.mark.parametrize(
    "axis, shape, view",
    [
        (0, (2,), (2, 1, 1, 1)),
        (1, (3, 4), (1, 3, 4, 1)),
        (-2, (4, 5), (1, 1, 4, 5)),
        (3, (5,), (1, 1, 1, 5)),
        (1, (), (1, 1, 1, 1)),
        (0, (2, 3, 4, 5), (2, 3, 4, 5)),
    ],
)
def test_axes_of_a_given_operand(axis: int, shape: tuple[int, ...], view: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, other = rng.standard_normal((2, 3, 4, 5)), np.asarray(rng.standard_normal(shape))
    scaled = run(f'type: "Scale" scale_param {{ axis: {axis} }}', x, other)
    np.testing.assert_array_equal(scaled, x * other.reshape(view))
    moved = run(f'type: "Bias" bias_param {{ axis: {axis} }}', x, other)
    np.testing.assert_array_equal(moved, x + other.reshape(view))


@pytest.mark.parametrize("channels_last", [False, True])
def test_scale_keeps_the_memory_format(channels_last: bool) -> None:
    layer = make_layer('type: "Scale" scale_param { bias_term: true }', (2, 3, 4, 5))
    assert isinstance(layer, TensorLayer)
    x = torch.randn(2, 3, 4, 5)
    x = x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    y = layer.compute(x, torch.randn(3), torch.randn(3))
    assert y.stride() == x.stride()


def test_embed_is_the_product_with_one_hot_vectors() -> None:
    layer = make_layer('type: "Embed" embed_param { num_output: 4 input_dim: 6 }', (2, 3))
    assert isinstance(layer, TensorLayer)
    rng = np.random.default_rng(0)
    weight, bias, index = rng.standard_normal((6, 4)), rng.standard_normal(4), rng.integers(0, 6, (2, 3))
    y = layer.compute(*(torch.from_numpy(a) for a in (index.astype(np.float64), weight, bias)))
    np.testing.assert_allclose(y.numpy(), np.eye(6)[index] @ weight + bias)


@pytest.mark.parametrize("index", [-1.0, 6.0, 1e9, float("nan")])
def test_embed_index_out_of_range(index: float) -> None:
    layer = make_layer('type: "Embed" embed_param { num_output: 4 input_dim: 6 }', (2, 3))
    x = Blob(2, 3)
    x.data[1, 2] = index
    with pytest.raises(LayerError, match=r"the index at \[1, 2\] must be in \[0, 5\]; got"):
        layer.forward([x], [Blob()])


@pytest.mark.parametrize(
    "text, shapes, field, message",
    [
        ('type: "Scale" scale_param { axis: 4 }', ((2, 3, 4, 5),), "axis", "must be in [-4, 3]"),
        (
            'type: "Scale" scale_param { axis: 3 num_axes: 2 }',
            ((2, 3, 4, 5),),
            "num_axes",
            "must be at most 1",
        ),
        ('type: "Scale" scale_param { num_axes: -2 }', ((2, 3, 4, 5),), "num_axes", "must be at least -1"),
        (
            'type: "Scale"',
            ((2, 3, 4), (2,)),
            "axis",
            "axes of bottom 0 from 1 on; got shapes [2] and [2, 3, 4]",
        ),
        ('type: "Scale"', ((2, 3), (3, 4)), "axis", "got shapes [3, 4] and [2, 3]"),
        ('type: "Bias" bias_param { axis: 2 num_axes: 3 }', ((2, 3, 4, 5),), "num_axes", "must be at most 2"),
        ('type: "Bias" bias_param { axis: 0 }', ((2, 3, 4), (3,)), "axis", "got shapes [3] and [2, 3, 4]"),
        ('type: "Embed" embed_param { num_output: 4 }', ((2, 3),), "input_dim", "must be at least 1; got 0"),
        ('type: "Embed" embed_param { input_dim: 4 }', ((2, 3),), "num_output", "must be at least 1; got 0"),
        ('type: "InnerProduct"', ((2, 3),), "num_output", "must be at least 1; got 0"),
        (
            'type: "InnerProduct" inner_product_param { num_output: 4 axis: 2 }',
            ((2, 3),),
            "axis",
            "must be in [-2, 1]",
        ),
    ],
)
def test_bad_parameters(text: str, shapes: tuple[tuple[int, ...], ...], field: str, message: str) -> None:
    with pytest.raises(LayerError) as caught:
        make_layer(text, *shapes)
    assert caught.value.field == field
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ('type: "Scale"', r"needs a parameter of shape \[6\]; the layer has \[3\]"),
        ('type: "Bias"', r"needs a parameter of shape \[6\]; the layer has \[3\]"),
        (
            'type: "InnerProduct" inner_product_param { num_output: 4 }',
            r"gives 120 values from axis 1 on, but the weights have shape \[4, 60\]",
        ),
    ],
)
def test_sizes_that_change_later(text: str, message: str) -> None:
    layer = make_layer(text, (2, 3, 4, 5))
    with pytest.raises(ShapeError, match=message):
        layer.reshape([Blob(2, 6, 4, 5)], [Blob()])
