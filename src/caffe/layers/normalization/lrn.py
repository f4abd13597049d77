"""LRN."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.vision._pool import Pool, average_pool
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

_MOST_AT_ONCE = 2**20  # values, whose damping is in memory at a time where there is no backward
_MOST_BANDED = 256  # channels; from there on a product with the banded matrix costs more than it saves


class LRN(TensorLayer):
    """Local response normalization: each value is damped by the energy around it.

    ACROSS_CHANNELS: y = x · (k + α/n · Σ x²)^−β, with the sum over the n = ``local_size`` channels around.
    WITHIN_CHANNEL: y = x · (1 + α/n² · Σ x²)^−β, with the sum over the n × n neighbours in the same channel.
    Channels and neighbours outside of x count as zeros.

    bottom: x (N × C × H × W; other numbers of spatial axes work too).
    top: y of x's shape.
    Differs from Caffe: ``engine`` chooses nothing. Source: BVLC ``LRN``; Krizhevsky et al. 2012.
    """

    keeps_shape = True
    reads = {"lrn_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.lrn_param
        if p.local_size % 2 != 1:
            raise self.error(f"must be odd; got {p.local_size}", field="local_size")
        within = p.norm_region == caffe_pb2.LRNParameter.WITHIN_CHANNEL
        if len(shape) < 2 or (within and not 3 <= len(shape) <= 5):
            raise self.shape_error(f"the bottom must be N×C×H×W; got shape {list(shape)}")

    @property
    def by_roots(self) -> bool:
        """Whether it is across channels, with the usual β = 0.75, which needs no power."""
        p = self.param.lrn_param
        return p.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS and p.beta == 0.75

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.lrn_param
        if p.norm_region == caffe_pb2.LRNParameter.WITHIN_CHANNEL:
            axes = x.dim() - 2
            pool = Pool((p.local_size,) * axes, (1,) * axes, ((p.local_size - 1) // 2,) * axes)
            return x * (1 + p.alpha * average_pool(x.square(), pool, True)) ** -p.beta
        if not torch.is_grad_enabled():
            return self._forward_only(x)
        y: torch.Tensor = _AcrossChannels.apply(x, p.local_size, p.alpha, p.beta, p.k)  # type: ignore[no-untyped-call]
        return y

    def _forward_only(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.lrn_param
        y = torch.empty_like(x)
        images = (
            max(1, _MOST_AT_ONCE * len(x) // max(1, x.numel())) if x.device.type == "cpu" else max(1, len(x))
        )
        for part, to in zip(x.split(images), y.split(images)):
            base = _sum_channels(part.square(), p.local_size, p.alpha / p.local_size, p.k)
            torch.mul(part, _power(base, p.beta, overwrite=True), out=to)
        return y


class _AcrossChannels(torch.autograd.Function):
    """With s the damping's base: dx = dy·s^−β − 2αβ/n · x · Σ (dy·y/s). Keeps x, s and s^−β."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
        base = _sum_channels(x.square(), size, alpha / size, k)
        damping = _power(base, beta)
        ctx.save_for_backward(x, base, damping)
        ctx.size, ctx.factor = size, 2 * alpha * beta / size
        return x * damping

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, base, damping = ctx.saved_tensors
        ratio = (dy * x).mul_(damping).div_(base)
        dx = (dy * damping).sub_(_sum_channels(ratio, ctx.size, ctx.factor, 0.0).mul_(x))
        return dx, None, None, None, None


def _power(base: torch.Tensor, beta: float, overwrite: bool = False) -> torch.Tensor:
    """base^−beta; the usual 0.75 by roots, which are much faster than a power."""
    if beta == 0.75:
        root = base.rsqrt_() if overwrite else base.rsqrt()
        return root.sqrt().mul_(root)
    return base.rsqrt() if beta == 0.5 else base.pow(-beta)


def _sum_channels(x: torch.Tensor, size: int, factor: float, offset: float) -> torch.Tensor:
    """offset + factor · the sum of ``size`` channels around each one.

    On the CPU a product with a banded matrix (a 1×1 convolution) is several times faster than torch's own
    LRN; on accelerators it would be rounded to short floats.
    """
    channels = x.shape[1]
    if x.dim() == 4 and x.device.type == "cpu" and channels <= _MOST_BANDED:
        return F.conv2d(x, *_band(channels, size, factor, offset, x.dtype))
    half = size // 2
    wide = F.pad(x, (0, 0) * (x.dim() - 2) + (half, half))
    total = wide.narrow(1, 0, channels).clone()
    for i in range(1, size):
        total += wide.narrow(1, i, channels)
    return total.mul_(factor).add_(offset)


@lru_cache(maxsize=64)
def _band(
    channels: int, size: int, factor: float, offset: float, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    index = torch.arange(channels)
    band = ((index[:, None] - index).abs() <= size // 2).to(dtype) * factor
    return band[:, :, None, None], torch.full((channels,), offset, dtype=dtype)
