"""Convolutions of 1×1 as one product of pixels and kernels, with what follows it: bias, sum, ReLU."""

from __future__ import annotations

import torch

from caffe.kernels import native, panels

_PIXELS = 96  # that a thread takes at a time


def pack(weight: torch.Tensor) -> torch.Tensor:
    """Kernels (outputs × channels × 1 × 1) as :func:`convolve` takes them."""
    return panels.pack(weight.flatten(1)[None, :, None])


def convolve(
    x: torch.Tensor,
    kernels: torch.Tensor,
    bias: torch.Tensor,
    y: torch.Tensor,
    relu: bool,
) -> None:
    """Write kernels · x + bias into y (N × outputs × H × W; some channels of a wider one, maybe).

    Both are float32 in channels_last. ``kernels`` are :func:`pack`'s.
    """
    n, c, h, w = x.shape
    threads = torch.get_num_threads()
    at = [t.data_ptr() for t in (x, kernels, bias, y)]
    native.loaded().pointwise(*at, n * h * w, c, y.shape[1], y.stride(3), relu, _PIXELS, threads)
