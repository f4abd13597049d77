"""Separable convolutions one behind the other, row by row: what lies between never leaves the cache."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import torch

from caffe.kernels import native

MOST_KERNELS = 2**16  # 1×1 kernels in all: the cache must hold them with the rows
LEAST_WIDTH = 24  # of rows: for narrower ones, products of several at once are faster
_CUT = 0.1  # where an image is cut for two threads, some rows are made twice: about this share
_GAIN = 1.25  # in time, where no image is cut and no thread is idle


def convolve(
    x: torch.Tensor,
    params: Sequence[torch.Tensor],
    y: torch.Tensor,
    windows: Sequence[int],
    relu: Sequence[bool],
    of_image: bool,
) -> None:
    """Write what the last convolution makes of x (N × C × H × W) into y (N × outputs × H′ × W′, in channels_last).

    All are float32. ``params``: each one's as :func:`.separable.convolve` takes them; the first's as
    :func:`.image.convolve` does where it is ``of_image``, with x in the order of its axes, which else is in
    channels_last. ``windows``: size, stride and pad of each. ``relu``: for each, whether one is behind its depthwise
    convolution, behind the other.
    """
    library, threads = native.loaded(), torch.get_num_threads()
    counts = outputs(params, of_image)
    sizes = list(x.shape)
    for i, count in enumerate(counts):
        sizes += [count, *windows[3 * i : 3 * i + 3], *relu[2 * i : 2 * i + 2]]
    at = [*([None, None] if of_image else []), *(p.data_ptr() for p in params)]
    pointers, shape = (ctypes.c_void_p * len(at))(*at), native.integers(*sizes)
    scratch = x.new_empty(library.chain_scratch(pointers, shape, len(counts), threads))
    parts = _parts(len(x), threads)
    library.chain(
        x.data_ptr(), pointers, y.data_ptr(), scratch.data_ptr(), shape, len(counts), parts, threads
    )


def outputs(params: Sequence[torch.Tensor], of_image: bool) -> list[int]:
    """How many channels each convolution gives, from the parameters of all."""
    return [len(bias) for bias in params[1 if of_image else 3 :: 4]]


def pays(images: int) -> bool:
    """Whether it is faster than each by itself, whose work can be divided evenly."""
    threads = torch.get_num_threads()
    return _time(images, _parts(images, threads), threads) <= _GAIN * images / threads


def _parts(images: int, threads: int) -> int:
    """That each image is best made in."""
    return min(range(1, threads + 1), key=lambda parts: _time(images, parts, threads))


def _time(images: int, parts: int, threads: int) -> float:
    """That threads take if each image is made in so many parts; one image takes 1."""
    return math.ceil(images * parts / threads) / parts * (1 + _CUT * (parts - 1))
