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
    all_params = [*([None, None] if of_image else []), *params]
    count = len(all_params) // 4
    sizes = list(x.shape)
    for i in range(count):
        bias = params[4 * i + 3 - 2 * of_image]
        sizes += [len(bias), *windows[3 * i : 3 * i + 3], *relu[2 * i : 2 * i + 2]]
    pointers = (ctypes.c_void_p * len(all_params))(*(None if p is None else p.data_ptr() for p in all_params))
    shape = (ctypes.c_int64 * len(sizes))(*sizes)
    scratch = x.new_empty(library.chain_scratch(pointers, shape, count, threads))
    parts = min(range(1, threads + 1), key=lambda parts: _time(len(x), parts, threads))
    at = x.data_ptr(), pointers, y.data_ptr(), scratch.data_ptr(), shape
    library.chain(*at, count, parts, threads)


def pays(images: int) -> bool:
    """Whether it is faster than each by itself, whose work can be divided evenly."""
    threads = torch.get_num_threads()
    return min(_time(images, parts, threads) for parts in range(1, threads + 1)) <= _GAIN * images / threads


def _time(images: int, parts: int, threads: int) -> float:
    """That threads take if each image is made in so many parts; one image takes 1."""
    return math.ceil(images * parts / threads) / parts * (1 + _CUT * (parts - 1))
