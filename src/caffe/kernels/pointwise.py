"""Convolutions of 1×1 as one product of pixels and kernels, with what follows it: bias, sum, ReLU."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.kernels import native

_PIXELS = 48  # that a thread takes at a time


def pack(weight: torch.Tensor) -> torch.Tensor:
    """Kernels (outputs × channels × 1 × 1) as :func:`convolve` takes them."""
    panel = native.loaded().panel()
    found = weight.flatten(1)
    found = F.pad(found, (0, 0, 0, -len(found) % panel))
    packed: torch.Tensor = found.unflatten(0, (-1, panel))  # type: ignore[no-untyped-call]
    return packed.transpose(1, 2).contiguous()


def convolve(
    x: torch.Tensor,
    kernels: torch.Tensor,
    bias: torch.Tensor | None,
    y: torch.Tensor,
    relu: bool,
) -> None:
    """Write kernels · x + bias into y (N × outputs × H × W; some channels of a wider one, maybe).

    Both are float32 in channels_last. ``kernels`` are :func:`pack`'s.
    """
    n, c, h, w = x.shape
    threads = torch.get_num_threads()
    scratch = x.new_empty(native.loaded().pointwise_scratch(c, _PIXELS, threads))
    at = [t.data_ptr() if t is not None else None for t in (x, kernels, bias, y, scratch)]
    native.loaded().pointwise(*at, n * h * w, c, y.shape[1], y.stride(3), relu, _PIXELS, threads)
