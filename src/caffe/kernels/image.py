"""Convolutions of images of few channels, as they are given to nets: read in NCHW order, without a change of layout."""

from __future__ import annotations

import torch

from caffe.kernels import native

MOST_CHANNELS = 4
MOST_SIZE = 7  # of the kernels: larger ones are no faster than oneDNN's


def convolve(
    x: torch.Tensor,
    kernels: torch.Tensor,
    bias: torch.Tensor,
    y: torch.Tensor,
    size: int,
    stride: int,
    pad: int,
    relu: bool,
) -> None:
    """Write the convolution of x (N × C × H × W, in that order) into y (N × outputs × H′ × W′, in channels_last).

    Both are float32. ``kernels`` are :func:`.panels.pack_weight`'s, of ``size`` × ``size``.
    """
    library, threads = native.loaded(), torch.get_num_threads()
    shape = native.integers(*x.shape, y.shape[1], size, stride, pad, y.stride(3))
    scratch = x.new_empty(library.image_scratch(shape, threads))
    at = [t.data_ptr() for t in (x, kernels, bias, y, scratch)]
    library.image(*at, shape, relu, threads)
