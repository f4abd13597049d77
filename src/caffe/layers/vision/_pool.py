"""Pooling windows with the original's arithmetic, over torch's kernels where those agree with it.

The original rounds the number of windows up, drops a last window that would start in the padding behind the input
(only where there is padding), and counts padding, clipped to the padded size, in averages. torch does the same, but
takes no pad over half the kernel, and no windows that start behind the input, as strides larger than the kernel
give. For those the input is padded by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F

from caffe.blob import Shape

MAX, AVE, STOCHASTIC = 0, 1, 2
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Pool:
    """Pooling windows over 1 to 3 spatial axes of N × C × spatial…, one value an axis."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    ceil: bool = True

    def counts(self, spatial: Shape) -> Sizes:
        """How many windows there are along each axis (below 1 where the input is too small)."""
        counted = []
        for size, kernel, stride, pad in zip(spatial, self.kernel, self.stride, self.pad):
            span = size + 2 * pad - kernel
            count = (-(-span // stride) if self.ceil else span // stride) + 1
            if any(self.pad) and (count - 1) * stride >= size + pad:
                count -= 1
            counted.append(count)
        return tuple(counted)

    def regular(self, spatial: Shape) -> bool:
        """Whether torch's own windows are these. (Over 3 axes it wants the input as large as the kernel.)"""
        return all(
            2 * pad <= kernel and (count - 1) * stride < size + pad and (len(spatial) < 3 or size >= kernel)
            for size, kernel, stride, pad, count in zip(
                spatial, self.kernel, self.stride, self.pad, self.counts(spatial)
            )
        )

    def padded(self, x: torch.Tensor, value: float) -> torch.Tensor:
        """x with ``value`` around it, so that every window is whole."""
        spatial = tuple(x.shape[2:])
        amounts: list[int] = []
        for size, kernel, stride, pad, count in zip(
            spatial, self.kernel, self.stride, self.pad, self.counts(spatial)
        ):
            amounts[:0] = [pad, max((count - 1) * stride + kernel - size - pad, 0)]
        return F.pad(x, amounts, value=value)


def max_pool(x: torch.Tensor, pool: Pool, regular: bool) -> torch.Tensor:
    """The largest value of each window. Among equal ones the first gets the gradient."""
    if _by_axes(x, pool):
        return _max_by_axes(x, pool)
    if len(pool.kernel) == 2 and regular:
        return F.max_pool2d(x, pool.kernel, pool.stride, pool.pad, ceil_mode=pool.ceil)
    return max_pool_with_mask(x, pool, regular)[0]


def _by_axes(x: torch.Tensor, pool: Pool) -> bool:
    """Whether the maximum along one axis, then along the other, is faster than torch's kernel.

    That one always finds the places of the maxima, too. Measured on CPUs: 2 to 2.6 times as fast.
    """
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and len(pool.kernel) == 2
        and x.is_contiguous(memory_format=torch.channels_last)
        and all(k == 2 or (k == 3 and s == 1) for k, s in zip(pool.kernel, pool.stride))
    )


def _max_by_axes(x: torch.Tensor, pool: Pool) -> torch.Tensor:
    counts = pool.counts(tuple(x.shape[2:]))
    whole = all(
        pad == 0 and (count - 1) * stride + kernel <= size
        for size, kernel, stride, pad, count in zip(x.shape[2:], pool.kernel, pool.stride, pool.pad, counts)
    )
    x = x if whole else pool.padded(x, -torch.inf)
    for axis in (0, 1):
        stride, last = pool.stride[axis], (counts[axis] - 1) * pool.stride[axis] + 1
        every = [slice(None)] * (2 + axis)
        x = reduce(torch.maximum, (x[(*every, slice(i, i + last, stride))] for i in range(pool.kernel[axis])))
    return x


def max_pool_with_mask(x: torch.Tensor, pool: Pool, regular: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Also each value's index into the flattened spatial axes, −1 for a window outside of the input."""
    axes = len(pool.kernel)
    run = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[axes - 1]
    if regular:
        return run(x, pool.kernel, pool.stride, pool.pad, ceil_mode=pool.ceil, return_indices=True)  # type: ignore[return-value]
    wide = pool.padded(x, torch.finfo(x.dtype).min)
    y, flat = run(wide, pool.kernel, pool.stride, return_indices=True)
    mask, inside, step = torch.zeros_like(flat), torch.ones_like(flat, dtype=torch.bool), 1
    for axis in reversed(range(axes)):
        place = flat % wide.shape[2 + axis] - pool.pad[axis]
        flat = torch.div(flat, wide.shape[2 + axis], rounding_mode="floor")
        inside = inside & (place >= 0) & (place < x.shape[2 + axis])
        mask = mask + place * step
        step *= x.shape[2 + axis]
    return y, torch.where(inside, mask, -1)


def average_pool(x: torch.Tensor, pool: Pool, regular: bool) -> torch.Tensor:
    """The sum of each window over its size, which counts padding up to the padded input's end."""
    axes = len(pool.kernel)
    whole = pool.kernel == tuple(x.shape[2:]) and not any(pool.pad)
    if whole and not x.is_meta:  # for meta tensors, torch imports its compiler to run mean
        return x.mean(tuple(range(2, 2 + axes)), keepdim=True)  # its backward changes no layout
    if axes == 1:
        flat = Pool((1, *pool.kernel), (1, *pool.stride), (0, *pool.pad), pool.ceil)
        return average_pool(x.unsqueeze(2), flat, regular).squeeze(2)
    run = F.avg_pool2d if axes == 2 else F.avg_pool3d
    if regular:
        return run(x, pool.kernel, pool.stride, pool.pad, ceil_mode=pool.ceil, count_include_pad=True)
    sums = run(pool.padded(x, 0.0), pool.kernel, pool.stride, divisor_override=1)
    counts = pool.counts(tuple(x.shape[2:]))
    for axis in range(axes):
        size, kernel, pad = x.shape[2 + axis], pool.kernel[axis], pool.pad[axis]
        starts = torch.arange(counts[axis], device=x.device) * pool.stride[axis] - pad
        lengths = (starts + kernel).clamp(max=size + pad) - starts
        sums = sums / lengths.to(x.dtype).view(-1, *(1,) * (axes - 1 - axis))
    return sums


def stochastic_pool(x: torch.Tensor, pool: Pool, train: bool) -> torch.Tensor:
    """Zeiler & Fergus 2013, for x ≥ 0: in training a value drawn with probability x / Σx, else Σx² / Σx."""
    windows = pool.padded(x, 0.0)
    for axis, (kernel, stride) in enumerate(zip(pool.kernel, pool.stride)):
        windows = windows.unfold(2 + axis, kernel, stride)
    windows = windows.flatten(-len(pool.kernel))
    if not train:
        total = windows.sum(-1)
        positive = total > 0
        mean = windows.square().sum(-1) / torch.where(positive, total, 1.0)
        return torch.where(positive, mean, 0.0)
    sums = windows.detach().cumsum(-1)
    last = sums[..., -1:]
    # 1 − u lies in (0, 1], so that a value of zero is never drawn where there are others.
    reached = sums >= (1 - torch.rand_like(last)) * last
    return windows.gather(-1, reached.to(torch.uint8).argmax(-1, keepdim=True)).squeeze(-1)


def describe(spatial: Shape, pool: Pool) -> str:
    """The numbers of an input that is too small, for an error."""
    return (
        f"kernel {list(pool.kernel)}, stride {list(pool.stride)} and pad {list(pool.pad)} give"
        f" {list(pool.counts(spatial))} windows for a spatial shape of {list(spatial)}"
        f" ({math.prod(spatial)} values)"
    )
