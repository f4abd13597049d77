"""Convolutions of 1×1 as one product of pixels and kernels, with what follows it: bias, sum, ReLU."""

from __future__ import annotations

import torch

from caffe.kernels import native

_PIXELS = 96  # that a thread takes at a time


def convolve(
    x: torch.Tensor,
    kernels: torch.Tensor,
    bias: torch.Tensor,
    y: torch.Tensor,
    relu: bool,
) -> None:
    """Write kernels · x + bias into y (N × outputs × H × W; some channels of a wider one, maybe).

    Both are float32 in channels_last. ``kernels`` are :func:`.panels.pack_weight`'s.
    """
    n, c, h, w = x.shape
    threads = torch.get_num_threads()
    at = [t.data_ptr() for t in (x, kernels, bias, y)]
    native.loaded().pointwise(*at, n * h * w, c, y.shape[1], y.stride(3), relu, _PIXELS, threads)
