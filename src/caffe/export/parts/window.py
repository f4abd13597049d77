"""Windows over images that torch.nn has no module for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class MaxPoolWithMask(nn.Module):
    """Max pooling that also gives each value's place in its H·W plane, as a float."""

    def __init__(self, size, stride, padding=0, ceil_mode=True):
        super().__init__()
        self.window = (size, stride, padding)
        self.ceil_mode = ceil_mode

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, place = F.max_pool2d(x, *self.window, ceil_mode=self.ceil_mode, return_indices=True)
        return y, place.to(x.dtype)


class AveragePool(nn.Module):
    """Averages over windows that reach beyond the image; ``rows`` and ``columns`` are how many of each count.

    Where none does, the average is 0 / 0: nets that were converted cut such windows off, which rounding up makes.
    """

    def __init__(self, kernel, stride, padding, rows, columns):
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.rows = [height / count if count else float("nan") for count in rows]
        self.columns = [width / count if count else float("nan") for count in columns]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.avg_pool2d(F.pad(x, self.padding), self.kernel, self.stride)
        rows = torch.tensor(self.rows, dtype=x.dtype, device=x.device)
        return y * rows[:, None] * torch.tensor(self.columns, dtype=x.dtype, device=x.device)


class Unpool(nn.Module):
    """Puts each value where a max pooling's mask says that it came from; 0 elsewhere."""

    def __init__(self, size):
        super().__init__()
        self.height, self.width = size

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        empty = torch.zeros(x.shape[0], x.shape[1], self.height * self.width, dtype=x.dtype, device=x.device)
        y = empty.scatter(2, mask.long().flatten(2), x.flatten(2))
        return y.reshape(x.shape[0], x.shape[1], self.height, self.width)


class Reorg(nn.Module):
    """Moves stride × stride pixels into channels, in darknet's order."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        s = self.stride
        planes = x.reshape(n, c // s**2, w, s, h, s).permute(0, 3, 5, 1, 2, 4)
        return planes.reshape(n, c * s**2, h // s, w // s)


class PyramidPool(nn.Module):
    """Spatial pyramid pooling: the maxima of ever smaller windows, in one vector. Levels are kernels and pads."""

    def __init__(self, levels):
        super().__init__()
        self.levels = levels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tops = [F.max_pool2d(x, kernel, kernel, pad, ceil_mode=True) for kernel, pad in self.levels]
        return torch.cat([y.flatten(1) for y in tops], 1)


class Embed(nn.Module):
    """A learned vector for each integer, given as a float."""

    def __init__(self, count, width, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width))
        self.bias = nn.Parameter(torch.empty(width)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.embedding(x.long(), self.weight)
        return y if self.bias is None else y + self.bias
