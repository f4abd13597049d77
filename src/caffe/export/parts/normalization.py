"""Normalization that torch.nn has no module for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

FRACTION = 0.9990000128746033


class BatchNorm(nn.Module):
    """Caffe's BatchNorm: y = (x - mean) / sqrt(var + eps), without scale and shift.

    The running statistics are averages over batches, older ones weighing ``fraction`` less at each; the sum of
    weights is ``scale_factor``.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    scale_factor: torch.Tensor

    def __init__(self, channels, eps=1e-5, fraction=FRACTION, always_global=None):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("scale_factor", torch.ones(1))
        self.eps, self.fraction, self.always_global = eps, fraction, always_global

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.always_global if self.always_global is not None else not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, var, training=True, momentum=1.0, eps=self.eps)
        with torch.no_grad():
            before = self.scale_factor * self.fraction
            self.scale_factor.copy_(before + 1)
            for running, new in ((self.running_mean, mean), (self.running_var, var)):
                running.copy_((running * before + new) / self.scale_factor)
        return y


class Scale(nn.Module):
    """A factor, and with ``bias`` a shift, for each channel."""

    def __init__(self, channels, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        each = (-1, *[1] * (x.dim() - 2))
        y = x * self.weight.view(each)
        return y if self.bias is None else y + self.bias.view(each)


class Bias(nn.Module):
    """A shift for each channel."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias.view(-1, *[1] * (x.dim() - 2))


class LocalNorm(nn.Module):
    """Local response normalization within channels: x · (1 + alpha · mean of x² around)^-beta."""

    def __init__(self, size, alpha, beta):
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = F.avg_pool2d(x.square(), self.size, 1, (self.size - 1) // 2)
        return x * (1 + self.alpha * mean) ** -self.beta


class MeanVarianceNorm(nn.Module):
    """(x - mean) / (σ + eps) over all axes from ``axis`` on."""

    def __init__(self, axis, variance=True, eps=1e-9, inside=False):
        super().__init__()
        self.axis, self.variance, self.eps, self.inside = axis, variance, eps, inside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        axes = tuple(range(self.axis, x.dim()))
        y = x - x.mean(axes, keepdim=True)
        if not self.variance:
            return y
        variance = y.square().mean(axes, keepdim=True)
        return y / ((variance + self.eps).sqrt() if self.inside else variance.sqrt() + self.eps)


class Normalize(nn.Module):
    """x over its length along some axes, times a learned factor."""

    def __init__(self, channels, eps, axes=1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.eps, self.axes = eps, axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = ((x * x).sum(self.axes, keepdim=True) + self.eps).sqrt()
        return x / length * self.weight.view(-1, *[1] * (x.dim() - 2))
