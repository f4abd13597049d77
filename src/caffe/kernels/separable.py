"""A depthwise convolution and the 1×1 convolution behind it in one pass: what lies between is never in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe.kernels import native

MOST_SIZE = 16  # of the depthwise kernels
_PIXELS = 192  # that a thread takes at a time, at least a row


def pack(weight: torch.Tensor) -> torch.Tensor:
    """Depthwise kernels (channels × 1 × size × size) as :func:`convolve` takes them."""
    channels, _, size, _ = weight.shape
    lanes = native.loaded().lanes()
    whole = F.pad(weight.view(channels, size * size), (0, 0, 0, -channels % lanes))
    packed: torch.Tensor = whole.unflatten(0, (-1, lanes))  # type: ignore[no-untyped-call]
    return packed.transpose(1, 2).contiguous()


def convolve(
    x: torch.Tensor,
    params: Sequence[torch.Tensor],
    y: torch.Tensor,
    size: int,
    stride: int,
    pad: int,
    relu: Sequence[bool],
) -> None:
    """Write the convolutions of x (N × C × H × W) into y (N × outputs × H′ × W′).

    Both are float32 in channels_last. ``params``: the depthwise kernels, of ``size`` × ``size``, as :func:`pack` gives
    them, their bias, the others as :func:`.panels.pack_weight` gives them, their bias. ``relu`` says which of the two
    has one behind it.
    """
    library, threads = native.loaded(), torch.get_num_threads()
    n, c, h, w = x.shape
    shape = native.integers(n, h, w, c, y.shape[1], size, stride, pad, y.stride(3))
    most = max(1, _PIXELS // y.shape[3])
    scratch = x.new_empty(library.separable_scratch(c, y.shape[3], most, threads))
    at = [t.data_ptr() for t in (x, *params, y, scratch)]
    library.separable(*at, shape, *relu, most, threads)
