"""Convolution, Deconvolution and Im2col against sums written out, over many parameters; and bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from harness import Array, make_layer

from caffe.errors import LayerError, ShapeError
from caffe.tensor_layer import TensorLayer


def reference(x: Array, weight: Array, stride: int, pad: int, dilation: int, group: int) -> Array:
    """Convolution over any number of axes, one output position at a time."""
    axes = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *[(pad, pad)] * axes])
    kernel = weight.shape[2:]
    sizes = [(x.shape[2 + i] - dilation * (kernel[i] - 1) - 1) // stride + 1 for i in range(axes)]
    y = np.zeros((x.shape[0], weight.shape[0], *sizes))
    per_group, channels = weight.shape[0] // group, weight.shape[1]
    for place in itertools.product(*map(range, sizes)):
        window = tuple(
            slice(p * stride, p * stride + dilation * (k - 1) + 1, dilation) for p, k in zip(place, kernel)
        )
        for o in range(weight.shape[0]):
            first = o // per_group * channels
            patch = x[(slice(None), slice(first, first + channels), *window)]
            y[(slice(None), o, *place)] = (patch * weight[o]).reshape(x.shape[0], -1).sum(1)
    return y


PARAMETERS = [
    # shape, num_output, kernel, stride, pad, dilation, group
    ((2, 4, 9), 6, 3, 2, 1, 2, 2),
    ((2, 3, 7, 8), 4, 3, 1, 0, 1, 1),
    ((2, 4, 7, 8), 6, 3, 2, 1, 1, 2),
    ((2, 3, 7, 9), 6, 2, 3, 2, 2, 3),
    ((1, 2, 5, 4, 6), 3, 2, 2, 1, 1, 1),
    ((1, 4, 3, 4, 2, 5), 2, 2, 1, 1, 2, 2),
    ((1, 2, 3, 2, 3, 2, 4), 3, 2, 2, 1, 1, 1),
]


def field(num_output: int, kernel: int, stride: int, pad: int, dilation: int, group: int) -> str:
    return (
        f"convolution_param {{ num_output: {num_output} kernel_size: {kernel} stride: {stride} pad: {pad}"
        f" dilation: {dilation} group: {group} bias_term: false }}"
    )


def run(layer: object, *tensors: Array) -> Array:
    assert isinstance(layer, TensorLayer)
    y = layer.compute(*map(torch.from_numpy, tensors))
    return (y[0] if isinstance(y, tuple) else y).numpy()


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_convolution(parameters: tuple) -> None:
    shape, *rest = parameters
    rng = np.random.default_rng(0)
    layer = make_layer('type: "Convolution" ' + field(*rest), shape)
    x, weight = rng.standard_normal(shape), rng.standard_normal(layer.blobs[0].shape)
    np.testing.assert_allclose(run(layer, x, weight), reference(x, weight, *rest[2:]), atol=1e-12)


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_deconvolution_is_the_transpose_of_convolution(parameters: tuple) -> None:
    """⟨conv(x), y⟩ = ⟨x, deconv(y)⟩ for inputs that the windows fill."""
    shape, num_output, kernel, stride, pad, dilation, group = parameters
    rng = np.random.default_rng(0)
    text = field(shape[1], kernel, stride, pad, dilation, group)
    small = (shape[0], num_output, *(2 + i for i in range(len(shape) - 2)))
    layer = make_layer('type: "Deconvolution" ' + text, small)
    y, weight = rng.standard_normal(small), rng.standard_normal(layer.blobs[0].shape)
    big = run(layer, y, weight)
    x = rng.standard_normal(big.shape)
    again = reference(x, weight, stride, pad, dilation, group)
    assert again.shape == small
    np.testing.assert_allclose((again * y).sum(), (x * big).sum(), rtol=1e-10)


@pytest.mark.parametrize("parameters", [p for p in PARAMETERS if p[-1] == 1], ids=str)
def test_im2col_times_kernels_is_the_convolution(parameters: tuple) -> None:
    shape, *rest = parameters
    rng = np.random.default_rng(0)
    convolution = make_layer('type: "Convolution" ' + field(*rest), shape)
    im2col = make_layer('type: "Im2col" ' + field(*rest), shape)
    x, weight = rng.standard_normal(shape), rng.standard_normal(convolution.blobs[0].shape)
    columns = run(im2col, x)
    product = np.tensordot(weight.reshape(rest[0], -1), columns, (1, 1))
    np.testing.assert_allclose(np.moveaxis(product, 0, 1), run(convolution, x, weight), atol=1e-12)


def test_axes_before_the_channels_are_batch() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5, 6))
    outer = make_layer(
        'type: "Convolution" convolution_param { num_output: 7 kernel_size: 2 axis: 2 }', x.shape
    )
    plain = make_layer('type: "Convolution" convolution_param { num_output: 7 kernel_size: 2 }', (6, 4, 5, 6))
    weight, bias = rng.standard_normal((7, 4, 2, 2)), rng.standard_normal(7)
    found = run(outer, x, weight, bias)
    assert found.shape == (2, 3, 7, 4, 5)
    np.testing.assert_allclose(
        found.reshape(6, 7, 4, 5), run(plain, x.reshape(6, 4, 5, 6), weight, bias), atol=1e-12
    )


def test_empty_batch() -> None:
    layer = make_layer('type: "Convolution" convolution_param { num_output: 7 kernel_size: 2 }', (0, 3, 4, 5))
    assert run(layer, np.zeros((0, 3, 4, 5)), np.zeros((7, 3, 2, 2)), np.zeros(7)).shape == (0, 7, 3, 4)


BAD = [
    ("kernel_size: 3", (2, 3, 4, 5), "num_output", "must be at least 1; got 0"),
    ("num_output: 4", (2, 3, 4, 5), "kernel_size", "must be given"),
    ("num_output: 4 kernel_size: 0", (2, 3, 4, 5), "kernel_size", "must be at least 1; got 0"),
    ("num_output: 4 kernel_size: 3 stride: 0", (2, 3, 4, 5), "stride", "must be at least 1; got 0"),
    ("num_output: 4 kernel_size: 3 dilation: 0", (2, 3, 4, 5), "dilation", "must be at least 1; got 0"),
    (
        "num_output: 4 kernel_size: [1, 2, 3]",
        (2, 3, 4, 5),
        "kernel_size",
        "one a spatial axis; got 3: [1, 2, 3]",
    ),
    ("num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3", (2, 3, 4, 5), "kernel_size", "got both"),
    ("num_output: 4 kernel_h: 3", (2, 3, 4, 5), "kernel_size", "must be at least 1; got 0"),
    (
        "num_output: 4 kernel_h: 3 kernel_w: 3",
        (2, 3, 4),
        "kernel_h",
        "are for 2 spatial axes; this bottom has 1",
    ),
    (
        "num_output: 4 kernel_size: 3 group: 2",
        (2, 3, 4, 5),
        "group",
        "must divide the bottom's channels: 3; got 2",
    ),
    ("num_output: 4 kernel_size: 3 group: 3", (2, 3, 4, 5), "group", "must divide num_output: 4; got 3"),
    ("num_output: 4 kernel_size: 3 group: 0", (2, 3, 4, 5), "group", "must be at least 1; got 0"),
    ("num_output: 4 kernel_size: 3 axis: 4", (2, 3, 4, 5), "axis", "must be in [-4, 3]"),
    ("num_output: 4 kernel_size: 7 pad: 1", (2, 3, 4, 5), "kernel_size", "padded input of 4 + 2·1 = 6"),
    ("num_output: 4 kernel_size: 3 dilation: 2", (2, 3, 4, 5), "kernel_size", "spans 5 along spatial axis 0"),
]


@pytest.mark.parametrize("text, shape, name, message", BAD, ids=[b[0] for b in BAD])
def test_bad_parameters(text: str, shape: tuple[int, ...], name: str, message: str) -> None:
    with pytest.raises(LayerError) as caught:
        make_layer(f'type: "Convolution" convolution_param {{ {text} }}', shape)
    assert caught.value.field == name
    assert message in str(caught.value)
    assert "layer 'l' (Convolution)" in str(caught.value)


def test_bottoms_of_different_shapes() -> None:
    with pytest.raises(ShapeError, match=r"\[2, 3, 4, 5\] for bottom 0 and \[2, 3, 4, 6\] for bottom 1"):
        make_layer(
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }',
            (2, 3, 4, 5),
            (2, 3, 4, 6),
            tops=2,
        )


def test_channels_that_change_later() -> None:
    from caffe.blob import Blob

    layer = make_layer('type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }', (2, 3, 4, 5))
    with pytest.raises(
        ShapeError, match=r"needs kernels of shape \[4, 6, 3, 3\]; the layer has \[4, 3, 3, 3\]"
    ):
        layer.reshape([Blob(2, 6, 4, 5)], [Blob()])


def test_deconvolution_with_nothing_left() -> None:
    with pytest.raises(
        ShapeError, match=r"3 leaves no output along spatial axis 0: 1·\(4 − 1\) \+ 3 − 2·3 = 0"
    ):
        make_layer(
            'type: "Deconvolution" convolution_param { num_output: 4 kernel_size: 3 pad: 3 }', (2, 3, 4, 5)
        )


def test_im2col_larger_than_its_input() -> None:
    with pytest.raises(ShapeError, match="spans 6"):
        make_layer('type: "Im2col" convolution_param { kernel_size: 6 }', (2, 3, 5, 7))
