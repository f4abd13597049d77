"""The kernels against torch's operations in float64."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from caffe.kernels import operations, panels, separable, winograd

TOLERANCE = 5e-6  # of the largest value; rounding alone gives some 2e-6


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def packed(weight: torch.Tensor, group: int = 1) -> torch.Tensor:
    return panels.pack_weight(weight) if weight.shape[2] == 1 else winograd.transform(weight, group)


def agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    assert found.shape == expected.shape
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("shape", "outputs", "group", "size", "pad"),
    [
        ((2, 17, 9, 13), 21, 1, 3, 1),
        ((1, 32, 30, 23), 48, 1, 3, 0),
        ((3, 36, 7, 6), 40, 2, 3, 2),
        ((2, 64, 14, 11), 96, 2, 5, 2),
        ((5, 19, 8, 5), 33, 1, 5, 1),
        ((1, 16, 3, 4), 18, 1, 3, 0),
        ((4, 23, 12, 10), 37, 1, 1, 0),
        ((3, 7, 5, 1), 16, 1, 1, 0),
    ],
)
def test_convolution(
    kernels: ctypes.CDLL, shape: tuple[int, ...], outputs: int, group: int, size: int, pad: int, relu: bool
) -> None:
    x, bias = images(*shape), images(outputs)
    weight = images(outputs, shape[1] // group, size, size)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=pad, groups=group)
    expected = expected.relu() if relu else expected
    found = operations.convolutions([x], [packed(weight, group)], [bias], [size], [pad], [relu])
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert agree(found, expected)


def test_side_by_side(kernels: ctypes.CDLL) -> None:
    x, other = images(2, 24, 11, 10), images(2, 18, 11, 10)
    weights = [images(20, 24, 1, 1), images(35, 24, 3, 3), images(17, 18, 5, 5)]
    biases = [images(len(w)) for w in weights]
    bottoms, relu = [x, x, other], [True, False, True]
    expected = [
        F.conv2d(b.double(), w.double(), s.double(), padding=w.shape[2] // 2)
        for b, w, s in zip(bottoms, weights, biases)
    ]
    expected = [y.relu() if r else y for y, r in zip(expected, relu)]
    found = operations.convolutions(bottoms, [packed(w) for w in weights], biases, [1, 3, 5], [0, 1, 2], relu)
    for part, y in zip(found.split([20, 35, 17], 1), expected):
        assert agree(part, y)


def separable_of(
    x: torch.Tensor, outputs: int, size: int, stride: int, pad: int, relu: Sequence[bool]
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Parameters for x (float64), and what they make of it."""
    channels = x.shape[1]
    weights = [images(channels, 1, size, size), images(outputs, channels, 1, 1)]
    biases = [images(channels), images(outputs)]
    y = F.conv2d(x, weights[0].double(), biases[0].double(), stride, pad, groups=channels)
    y = F.conv2d(y.relu() if relu[0] else y, weights[1].double(), biases[1].double())
    params = [separable.pack(weights[0]), biases[0], panels.pack_weight(weights[1]), biases[1]]
    return params, y.relu() if relu[1] else y


@pytest.mark.parametrize("relu", [(False, True), (True, False)])
@pytest.mark.parametrize(
    ("shape", "outputs", "size", "stride", "pad"),
    [
        ((2, 17, 9, 13), 21, 3, 1, 1),
        ((1, 32, 15, 7), 130, 3, 2, 1),
        ((3, 16, 6, 5), 64, 3, 1, 0),
        ((2, 35, 8, 11), 48, 5, 1, 2),
        ((2, 5, 10, 3), 9, 4, 3, 2),
        ((1, 19, 12, 37), 20, 3, 1, 2),
        ((2, 6, 4, 21), 11, 16, 2, 9),
        ((1, 18, 2, 1), 7, 3, 2, 3),
    ],
)
def test_separable(
    kernels: ctypes.CDLL,
    shape: tuple[int, ...],
    outputs: int,
    size: int,
    stride: int,
    pad: int,
    relu: tuple[bool, bool],
) -> None:
    x = images(*shape)
    params, expected = separable_of(x.double(), outputs, size, stride, pad, relu)
    found = operations.separable(x, params, size, stride, pad, relu)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert agree(found, expected)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("shape", "outputs", "size", "stride", "pad"),
    [
        ((2, 3, 23, 18), 64, 3, 2, 1),
        ((3, 1, 13, 12), 20, 5, 1, 0),
        ((1, 3, 29, 31), 33, 7, 2, 3),
        ((2, 3, 35, 27), 96, 11, 4, 0),
        ((1, 4, 9, 10), 7, 1, 1, 0),
        ((2, 2, 6, 11), 67, 4, 3, 2),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_image(
    kernels: ctypes.CDLL,
    shape: tuple[int, ...],
    outputs: int,
    size: int,
    stride: int,
    pad: int,
    relu: bool,
    layout: torch.memory_format,
) -> None:
    x, bias, weight = images(*shape), images(outputs), images(outputs, shape[1], size, size)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), stride, pad)
    given = x.contiguous(memory_format=layout)
    found = operations.image(given, panels.pack_weight(weight), bias, size, stride, pad, relu)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert agree(found, expected.relu() if relu else expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_chain_of_parts(kernels: ctypes.CDLL, request: pytest.FixtureRequest, threads: int) -> None:
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(threads)
    x = images(2, 6, 11, 15)
    first, y = separable_of(x.double(), 9, 3, 2, 1, [True, False])
    second, _ = separable_of(y, 13, 3, 1, 1, [False, True])
    expected = operations.separable(x, first, 3, 2, 1, [True, False])
    expected = operations.separable(expected, second, 3, 1, 1, [False, True])
    found = operations.chain(x, [*first, *second], [3, 2, 1, 3, 1, 1], [True, False, False, True], False)
    assert torch.equal(found, expected)


SMALL = [(7, 3, 1, 1), (35, 3, 2, 1), (18, 5, 1, 2)]  # outputs, size, stride, pad
LARGE = [(66, 3, 2, 0), (20, 3, 1, 3), (17, 4, 3, 1), (9, 3, 2, 1)]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("shape", "windows", "of_image"),
    [
        ((3, 5, 13, 10), SMALL, False),
        ((1, 17, 29, 25), SMALL[::-1], False),
        ((4, 16, 9, 12), SMALL[:1], False),
        ((9, 6, 33, 38), LARGE, False),
        ((2, 3, 31, 29), SMALL, True),
        ((1, 4, 47, 40), LARGE, True),
        ((5, 1, 11, 8), SMALL[1:2], True),
    ],
)
def test_chain(
    kernels: ctypes.CDLL,
    shape: tuple[int, ...],
    windows: list[tuple[int, int, int, int]],
    of_image: bool,
    relu: bool,
) -> None:
    x = images(*shape)
    expected, params, relus = x.double(), [], []
    for i, (outputs, size, stride, pad) in enumerate(windows):
        if of_image and i == 0:
            weight, bias = images(outputs, shape[1], size, size), images(outputs)
            expected = F.conv2d(expected, weight.double(), bias.double(), stride, pad)
            expected = expected.relu() if relu else expected
            params += [panels.pack_weight(weight), bias]
        else:
            own, expected = separable_of(expected, outputs, size, stride, pad, [not relu, relu])
            params += own
        relus += [not relu, relu]
    sides = [side for _, *window in windows for side in window]
    found = operations.chain(x, params, sides, relus, of_image)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert agree(found, expected)


def test_not_a_number_stays(kernels: ctypes.CDLL) -> None:
    x = images(1, 16, 12, 9)
    x[0, 3, 0, 1] = float("nan")
    weight = images(18, 16, 3, 3)
    found = operations.convolutions([x], [packed(weight)], [torch.zeros(18)], [3], [1], [True])
    assert found[0, :, 0, :2].isnan().all()
    assert not found[0, :, 4:].isnan().any()  # other tiles


@pytest.mark.parametrize(
    ("shape", "size"), [((2, 7, 5, 3), 5), ((1, 96, 9, 11), 5), ((3, 33, 4, 6), 3), ((2, 4, 1, 8), 9)]
)
def test_lrn(kernels: ctypes.CDLL, shape: tuple[int, ...], size: int) -> None:
    x = 10 * images(*shape)
    expected = F.local_response_norm(x.double(), size, alpha=0.3 * size, beta=0.75, k=1.5)
    assert agree(operations.lrn(x, size, 0.3, 1.5), expected)


def test_shapes_without_values() -> None:
    x, weight, bias = (torch.empty(s, device="meta") for s in ((2, 16, 9, 8), (1, 36 * 16 * 48), (40,)))
    found = operations.convolutions([x, x], [weight, weight], [bias, bias], [3, 3], [0, 0], [True, False])
    assert found.shape == (2, 80, 7, 6) and found.is_contiguous(memory_format=torch.channels_last)
    params = [weight, x, weight, bias]
    assert operations.separable(x, params, 3, 2, 1, [True, False]).shape == (2, 40, 5, 4)
    assert operations.image(x, weight, bias, 3, 2, 0, True).shape == (2, 40, 4, 3)
    assert operations.lrn(x, 5, 1e-4, 1.0).shape == x.shape
