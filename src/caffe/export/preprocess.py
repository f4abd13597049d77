"""What is done to an image before it enters a net, as part of an exported model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from caffe.blob import Shape
from caffe.errors import InputError


@dataclass
class Preprocess:
    """From images as they are read (N × H × W × C, uint8) to a net's first input (N × C × H × W).

    In this order: channels from ``images`` ("rgb", or "bgr" as OpenCV reads them) to ``net`` ("bgr"), resizing to
    ``resize`` (height, width; bilinear), cropping of the middle to the input's size, minus ``mean`` (a value, one a
    channel, or an array C × H × W), times ``scale``.
    """

    scale: float = 1.0
    mean: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(1, np.float32))
    images: str = "rgb"
    net: str = "bgr"
    resize: tuple[int, int] | None = None

    def module(self, shape: Shape) -> nn.Module:
        """The module for a net's input of this shape. Raises InputError for what does not fit."""
        if len(shape) != 4:
            raise InputError(f"preprocessing is for an input N×C×H×W; got shape {list(shape)}")
        for order in (self.images, self.net):
            if order not in ("rgb", "bgr"):
                raise InputError(f"the order of channels must be rgb or bgr; got {order}")
        size = self.resize or tuple(shape[2:])
        if size[0] < shape[2] or size[1] < shape[3]:
            raise InputError(f"images resized to {list(size)} are smaller than the input's {list(shape[2:])}")
        mean = torch.as_tensor(np.asarray(self.mean, np.float32))
        if mean.dim() <= 1:
            if mean.numel() not in (1, shape[1]):
                raise InputError(
                    f"the mean must hold 1 value, or {shape[1]}, one a channel; got {mean.numel()}"
                )
            mean = mean.reshape(-1, 1, 1)
        else:
            mean = mean.reshape(mean.shape[-3:])
            if mean.shape[0] != shape[1]:
                raise InputError(
                    f"the mean image must have {shape[1]} channels; got shape {list(mean.shape)}"
                )
            if mean.shape[1:] != shape[2:]:
                mean = _middle(mean[None], (shape[2], shape[3]))[0]
        flip = shape[1] == 3 and self.images != self.net
        return _Preprocessing(mean, self.scale, flip, self.resize, (shape[2], shape[3]))

    def example(self, shape: Shape, seed: int = 0) -> torch.Tensor:
        """Random images for a net's input of this shape; larger ones, of another size each, where they are resized."""
        height, width = shape[2:]
        if self.resize:
            height, width = height + 13 + 2 * seed, width + 29 + 3 * seed
        values = np.random.RandomState(seed).randint(0, 256, (shape[0], height, width, shape[1]))
        return torch.from_numpy(values.astype(np.uint8))


def takes_any_size(before: nn.Module | None) -> bool:
    """Whether what goes before a net resizes the images."""
    return isinstance(before, _Preprocessing) and before.resize is not None


class _Preprocessing(nn.Module):
    mean: torch.Tensor

    def __init__(
        self,
        mean: torch.Tensor,
        scale: float,
        flip: bool,
        resize: tuple[int, int] | None,
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.scale, self.flip, self.resize, self.size = scale, flip, resize, size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images.to(torch.float32).permute(0, 3, 1, 2)
        if self.flip:
            x = x[:, [2, 1, 0]]
        if self.resize is not None:
            x = F.interpolate(x, size=self.resize, mode="bilinear", align_corners=False)
            x = _middle(x, self.size)
        x = x - self.mean
        return x * self.scale if self.scale != 1 else x


def _middle(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    top, left = ((a - b) // 2 for a, b in zip(x.shape[2:], size))
    if top < 0 or left < 0:
        raise InputError(f"a mean image of {list(x.shape[2:])} is smaller than the input's {list(size)}")
    return x[:, :, top : top + size[0], left : left + size[1]]
