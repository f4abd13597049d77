"""Padding that differs from side to side, and TensorFlow's SAME: what Synopsys adds to convolution and
pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layer import Layer
from caffe.layers.vision._pool import Pool

Sides = tuple[tuple[int, int], tuple[int, int]]
"""Padding before and after: of rows, of columns."""


def read_sides(layer: Layer, param: Any, spatial: Shape, extent: Shape, stride: Shape) -> Sides | None:
    """The padding of each side where pad_l, pad_r, pad_t, pad_b or pad_type say one, else None.

    Raises LayerError where they are given together with pad, or for other than two spatial axes.
    """
    sides = ((param.pad_t, param.pad_b), (param.pad_l, param.pad_r))
    same = param.pad_type == 1
    if param.pad_type > 1:
        raise layer.error(f"must be 0 or 1 (TensorFlow's SAME); got {param.pad_type}", field="pad_type")
    if not same and not any(sides[0] + sides[1]):
        return None
    if len(spatial) != 2:
        raise layer.error(f"is for 2 spatial axes; this bottom has {len(spatial)}", field="pad_l")
    pads = [param.pad_h, param.pad_w] + (list(param.pad) if not isinstance(param.pad, int) else [param.pad])
    if any(pads) or (same and any(sides[0] + sides[1])):
        raise layer.error(
            "pad, pad_l/pad_r/pad_t/pad_b (Synopsys) and pad_type (Synopsys) exclude each other; got several",
            field="pad",
            fix="Keep one of them",
        )
    if not same:
        return sides
    rows, columns = (_same(*sizes) for sizes in zip(spatial, extent, stride))
    return rows, columns


def _same(size: int, extent: int, stride: int) -> tuple[int, int]:
    """So that the output has ⌈size / stride⌉ values, the odd one behind."""
    total = max(extent - (size % stride or stride), 0)
    return total // 2, total - total // 2


def pad_sides(x: torch.Tensor, sides: Sides) -> torch.Tensor:
    """x with zeros at its sides."""
    return F.pad(x, (*sides[1], *sides[0]))


@dataclass(frozen=True)
class SidePool(Pool):
    """Pooling windows with padding ``pad`` before and ``after`` behind each axis."""

    after: tuple[int, ...] = ()
    same: bool = False
    """Whether there are ⌈size / stride⌉ windows."""

    def counts(self, spatial: Shape) -> tuple[int, ...]:
        counted = []
        for size, kernel, stride, pad, after in zip(spatial, self.kernel, self.stride, self.pad, self.after):
            span = size + pad + after - kernel
            count = (-(-span // stride) if self.ceil else span // stride) + 1
            if self.same:
                count = -(-size // stride)
            elif (count - 1) * stride >= size + pad:
                count -= 1
            counted.append(count)
        return tuple(counted)

    def regular(self, spatial: Shape) -> bool:
        return False


def average_pool(x: torch.Tensor, pool: Pool, count_padding: bool) -> torch.Tensor:
    """The sum of each window over how many values it has, with or without those of the padding (two axes)."""
    after = pool.after if isinstance(pool, SidePool) else pool.pad
    sums = F.avg_pool2d(pool.padded(x, 0.0), pool.kernel, pool.stride, divisor_override=1)
    counts = pool.counts(tuple(x.shape[2:]))
    for axis in range(2):
        size, pad = x.shape[2 + axis], pool.pad[axis]
        start = torch.arange(counts[axis], device=x.device) * pool.stride[axis] - pad
        end = (start + pool.kernel[axis]).clamp(max=size + (after[axis] if count_padding else 0))
        length = end - (start if count_padding else start.clamp(min=0))
        sums = sums / length.to(x.dtype).reshape(-1, *(1,) * (1 - axis))
    return sums
