"""Convolutions of 3×3 and 5×5 with a quarter of the multiplications or fewer, for kernels that no longer change.

Winograd's minimal filtering, F(4×4, 3×3) and F(3×3, 5×5): Lavin and Gray, 2015, arXiv:1509.09308.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.kernels import native, panels, transforms

_TILES = 24  # that a thread takes through all steps at a time: what lies between fits in its cache
_LEAST_CHANNELS = 16  # of a group, in and out: with fewer, the transforms cost more than the products save
_LEAST_TILES = 8  # for each thread: with fewer, reading the kernels costs more


def fits(x: Sequence[int], weight: Sequence[int], group: int, pad: int) -> bool:
    """Whether a convolution (stride 1, undilated) of these shapes gains by it."""
    size = weight[2]
    if (
        size not in transforms.SIZES
        or weight[3] != size
        or min(weight[0] // group, weight[1]) < _LEAST_CHANNELS
    ):
        return False
    down, across = (-(-(side + 2 * pad - size + 1) // transforms.count(size)) for side in x[2:])
    return x[0] * down * across >= _LEAST_TILES * torch.get_num_threads()


def transform(weight: torch.Tensor, group: int) -> torch.Tensor:
    """Kernels (outputs × channels of a group × size × size) as :func:`convolve` takes them."""
    size = weight.shape[2]
    matrix = torch.tensor(transforms.kernels(size), dtype=torch.float64)
    transformed = torch.einsum("ai,ocij,bj->oabc", matrix, weight.double(), matrix)
    return panels.pack(
        transformed.reshape(group, len(weight) // group, transforms.side(size) ** 2, weight.shape[1])
    )


def convolve(
    x: torch.Tensor,
    kernels: torch.Tensor,
    bias: torch.Tensor,
    y: torch.Tensor,
    size: int,
    pad: int,
    relu: bool,
) -> None:
    """Write the convolution of x (N × C × H × W) into y (N × outputs × H′ × W′; some channels of a wider one, maybe).

    Both are float32 in channels_last. ``kernels`` are :func:`transform`'s, of ``size`` × ``size``.
    """
    library, threads = native.loaded(), torch.get_num_threads()
    n, c, h, w = x.shape
    shape = native.integers(n, h, w, c, y.shape[1], kernels.shape[0], pad, size, y.stride(3))
    scratch = x.new_empty(library.winograd_scratch(shape, _TILES, threads))
    at = [t.data_ptr() for t in (x, kernels, bias, y, scratch)]
    library.winograd(*at, shape, relu, _TILES, threads)
