"""ResizeBilinear."""

from __future__ import annotations

import torch

from caffe.layers.vision._resize import Resize
from caffe.proto import caffe_pb2


class ResizeBilinear(Resize):
    """Bilinear resize, as TensorFlow's: an output's position i lies at i·s in the input.

    s is in/out, or (in - 1)/(out - 1) with ``align_corners``; with ``half_pixel_centers`` at (i + ½)·s - ½.

    bottom: x (N × H × W × C, or N × C × H × W with ``data_format`` "NCHW").
    top: output_height × output_width, or scale_height and scale_width times x's, rounded down.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    reads = {"resize_bilinear_param": "*"}

    def resize_param(self) -> caffe_pb2.ResizeBilinearParameter:
        return self.param.resize_bilinear_param

    def resize(self, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
        for axis, into in ((2, height), (3, width)):
            low, high, part = self._places(x.shape[axis], into, x)
            near = x.index_select(axis, low)
            x = torch.lerp(near, x.index_select(axis, high), part.reshape(-1, *[1] * (3 - axis)))
        return x

    def _places(
        self, size: int, into: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        half = 0.5 if self.resize_param().half_pixel_centers else 0.0
        place = torch.arange(into, device=x.device, dtype=x.dtype)
        place = (place + half) * self.ratio(size, into) - half
        low = place.floor()
        return low.clamp(min=0).long(), place.ceil().clamp(max=size - 1).long(), place - low
