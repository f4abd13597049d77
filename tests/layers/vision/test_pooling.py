"""Pooling and SPP against windows written out, over many parameters; ties, masks, chance; and bad input."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from harness import Array, make_layer

from caffe.errors import LayerError
from caffe.tensor_layer import TensorLayer


def pooling(text: str, shape: tuple[int, ...], tops: int = 1, phase: str = "TRAIN") -> TensorLayer:
    layer = make_layer(f'type: "Pooling" pooling_param {{ {text} }}', shape, tops=tops, phase=phase)
    assert isinstance(layer, TensorLayer)
    return layer


def windows(
    size: int, kernel: int, stride: int, pad: int, any_pad: bool, ceil: bool
) -> list[tuple[int, int]]:
    """(start, end) of each window, as Caffe places them: in the padded input, not clipped to the input."""
    count = (math.ceil if ceil else math.floor)((size + 2 * pad - kernel) / stride) + 1
    if any_pad and (count - 1) * stride >= size + pad:
        count -= 1
    return [(i * stride - pad, min(i * stride - pad + kernel, size + pad)) for i in range(count)]


def reference(x: Array, kernel: Array, stride: Array, pad: Array, ceil: bool) -> tuple[Array, Array, Array]:
    """Largest value, its place, and mean of each window."""
    axes = [windows(size, k, s, p, any(pad), ceil) for size, k, s, p in zip(x.shape[2:], kernel, stride, pad)]
    shape = (*x.shape[:2], *map(len, axes))
    largest, place, mean = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for index in itertools.product(*map(range, shape)):
        image, spatial = x[index[:2]], [axes[a][i] for a, i in enumerate(index[2:])]
        cells = itertools.product(
            *(range(max(start, 0), min(end, size)) for (start, end), size in zip(spatial, image.shape))
        )
        best, where, total = -np.finfo(np.float64).max, -1, 0.0
        for cell in cells:
            total += image[cell]
            if image[cell] > best:
                best, where = image[cell], int(np.ravel_multi_index(cell, image.shape))
        largest[index], place[index] = best, where
        with np.errstate(divide="ignore", invalid="ignore"):
            mean[index] = np.float64(total) / math.prod(end - start for start, end in spatial)
    return largest, place, mean


GRID = [
    (kernel, stride, pad, mode)
    for kernel, stride, pad, mode in itertools.product((1, 2, 3, 4), (1, 2, 3), (0, 1, 2), ("CEIL", "FLOOR"))
    if pad < kernel
]


@pytest.mark.parametrize("size", [(6, 5), (4, 7), (3, 8), (9,), (3, 4, 5)], ids=str)
def test_every_window(size: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, 3, *size)).astype(np.float64)  # with many equal values
    for kernel, stride, pad, mode in GRID:
        if min(size) + 2 * pad < kernel:
            continue
        text = f"kernel_size: {kernel} stride: {stride} pad: {pad} round_mode: {mode}"
        n = len(size)
        largest, place, mean = reference(x, [kernel] * n, [stride] * n, [pad] * n, mode == "CEIL")
        y, mask = pooling(text, x.shape, tops=2).compute(torch.from_numpy(x))
        np.testing.assert_array_equal(y.numpy(), largest, err_msg=text)
        np.testing.assert_array_equal(mask.numpy(), place, err_msg=text)
        y = pooling("pool: AVE " + text, x.shape).compute(torch.from_numpy(x))
        np.testing.assert_allclose(y.numpy(), mean, atol=1e-12, err_msg=text)


def test_pads_of_different_size() -> None:
    """A pad on one axis also drops the last window of the other one."""
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4))
    text = "kernel_h: 3 kernel_w: 1 stride_h: 2 stride_w: 3 pad_h: 2 pad_w: 0"
    largest, place, mean = reference(x, (3, 1), (2, 3), (2, 0), True)
    y, mask = pooling(text, x.shape, tops=2).compute(torch.from_numpy(x))
    np.testing.assert_array_equal(y.numpy(), largest)
    np.testing.assert_array_equal(mask.numpy(), place)
    np.testing.assert_allclose(
        pooling("pool: AVE " + text, x.shape).compute(torch.from_numpy(x)).numpy(), mean
    )


def test_kernel_that_overhangs() -> None:
    """An input smaller than the kernel gives a window where rounding up lets it."""
    x = torch.arange(6.0).reshape(1, 2, 1, 3)
    assert pooling("kernel_size: 2 stride: 2", (1, 2, 1, 3)).compute(x).flatten().tolist() == [1, 2, 4, 5]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("text", ["kernel_size: 3 stride: 2", "kernel_size: 3 stride: 2 pad: 2"])
def test_the_first_of_equal_values_gets_the_gradient(text: str, channels_last: bool) -> None:
    x = torch.ones(2, 3, 5, 7)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    y, mask = pooling(text, (2, 3, 5, 7), tops=2).compute(x)
    y.sum().backward()
    expected = torch.zeros(2, 3, 35).scatter_add_(2, mask.flatten(2).long(), torch.ones_like(mask.flatten(2)))
    assert torch.equal(x.grad.flatten(2), expected)
    _, place, _ = reference(x.detach().numpy(), (3, 3), (2, 2), (2, 2) if "pad" in text else (0, 0), True)
    assert np.array_equal(mask.detach().numpy(), place)


def test_stochastic_training_draws_in_proportion() -> None:
    x = torch.tensor([1.0, 3.0, 0.0, 4.0]).reshape(1, 1, 2, 2).expand(4000, 1, 2, 2)
    torch.manual_seed(0)
    y = pooling("pool: STOCHASTIC kernel_size: 2", (4000, 1, 2, 2)).compute(x).flatten()
    for value, share in ((1, 1 / 8), (3, 3 / 8), (4, 1 / 2)):
        assert abs(float((y == value).float().mean()) - share) < 0.03
    assert not (y == 0).any()


def test_stochastic_training_of_zeros() -> None:
    x = torch.zeros(2, 3, 5, 4)
    assert not pooling("pool: STOCHASTIC kernel_size: 2 stride: 2", x.shape).compute(x).any()


def test_stochastic_testing_is_the_weighted_mean() -> None:
    x = torch.tensor([1.0, 3.0, 0.0, 4.0, 0.0, 0.0]).reshape(1, 1, 2, 3)
    layer = pooling("pool: STOCHASTIC kernel_size: 2 stride: 2", (1, 1, 2, 3), phase="TEST")
    # Windows: columns 0 and 1 hold 1, 3, 4, 0; column 2 alone holds 0, 0.
    assert layer.compute(x).flatten().tolist() == [26 / 8, 0]


BAD = [
    ("", (2, 3, 4, 5), 1, "kernel_size", "must be given"),
    ("kernel_size: 0", (2, 3, 4, 5), 1, "kernel_size", "must be at least 1; got 0"),
    ("kernel_size: 2 kernel_h: 2 kernel_w: 2", (2, 3, 4, 5), 1, "kernel_size", "kernel_h and kernel_w both"),
    ("kernel_h: 2", (2, 3, 4, 5), 1, "kernel_size", "kernel_h and kernel_w both"),
    ("kernel_h: 2 kernel_w: 2", (2, 3, 4), 1, "kernel_h", "are for 2 spatial axes; this bottom has 1"),
    ("kernel_size: 2 stride: 0", (2, 3, 4, 5), 1, "stride", "must be at least 1; got 0"),
    ("kernel_size: 2 pad: 2", (2, 3, 4, 5), 1, "pad", "must be less than the kernel, 2; got 2"),
    ("kernel_size: 7", (2, 3, 4, 5), 1, "kernel_size", "must fit in the padded input"),
    (
        "kernel_size: 6 round_mode: FLOOR stride: 3",
        (2, 3, 4, 5),
        1,
        "kernel_size",
        "must fit in the padded input",
    ),
    (
        "global_pooling: true kernel_size: 2",
        (2, 3, 4, 5),
        1,
        "kernel_size",
        "must not be given with global_pooling",
    ),
    ("global_pooling: true pad: 1", (2, 3, 4, 5), 1, "pad", "pad 0 and stride 1"),
    ("global_pooling: true stride: 2", (2, 3, 4, 5), 1, "stride", "pad 0 and stride 1"),
    ("pool: STOCHASTIC kernel_size: 2 pad: 1", (2, 3, 4, 5), 1, "pad", "must be 0 for STOCHASTIC"),
    ("pool: AVE kernel_size: 2", (2, 3, 4, 5), 2, "pool", "two tops are for MAX"),
    ("kernel_size: 2", (2, 3), 1, None, "1 to 3 spatial axes; got shape [2, 3]"),
]


@pytest.mark.parametrize("text, shape, tops, name, message", BAD, ids=[b[0] or "nothing" for b in BAD])
def test_bad_parameters(text: str, shape: tuple[int, ...], tops: int, name: str | None, message: str) -> None:
    with pytest.raises(LayerError) as caught:
        pooling(text, shape, tops=tops)
    assert caught.value.field == name
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text, shape, message",
    [
        ("", (2, 3, 4, 5), "must be at least 1; got 0"),
        ("pyramid_height: 2", (2, 3, 4), "must be N×C×H×W"),
        ("pyramid_height: 3", (2, 3, 5, 9), "3 is too much for a bottom of shape [2, 3, 5, 9]"),
        ("pyramid_height: 2 pool: STOCHASTIC", (2, 3, 4, 5), "level 1 needs"),
    ],
)
def test_bad_pyramids(text: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(LayerError) as caught:
        make_layer(f'type: "SPP" spp_param {{ {text} }}', shape)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text, shapes, message",
    [
        (
            "offset: 3",
            ((2, 3, 4, 5), (2, 3, 2, 2)),
            "3 puts the crop of size 2 outside of bottom 0 along axis 2",
        ),
        ("offset: 1 offset: 1 offset: 1", ((2, 3, 4, 5), (2, 3, 2, 2)), "must hold 1 value, or 2"),
        ("axis: 4", ((2, 3, 4, 5), (2, 3, 2, 2)), "must be in [-4, 3]"),
        ("", ((2, 3, 4, 5), (2, 3, 2)), "both bottoms must have as many axes"),
        (
            "axis: 0",
            ((2, 3, 4, 5), (3, 3, 2, 2)),
            "0 puts the crop of size 3 outside of bottom 0 along axis 0",
        ),
    ],
)
def test_bad_crops(text: str, shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(LayerError) as caught:
        make_layer(f'type: "Crop" crop_param {{ {text} }}', *shapes)
    assert message in str(caught.value)
