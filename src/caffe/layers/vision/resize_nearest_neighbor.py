"""ResizeNearestNeighbor."""

from __future__ import annotations

import torch

from caffe.layers.vision._resize import Resize
from caffe.proto import caffe_pb2


class ResizeNearestNeighbor(Resize):
    """Resize by repeating or leaving out values, as TensorFlow's: an output's position i takes the input's
    ⌊i·s⌋.

    s is in/out; with ``align_corners`` (in - 1)/(out - 1), rounded to the nearest; with
    ``half_pixel_centers`` ⌊(i + ½)·s⌋.

    bottom: x (N × H × W × C, or N × C × H × W with ``data_format`` "NCHW").
    top: output_height × output_width, or scale_height and scale_width times x's, rounded down.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    reads = {"resize_nearest_neighbor_param": "*"}

    def resize_param(self) -> caffe_pb2.ResizeBilinearParameter:
        return self.param.resize_nearest_neighbor_param

    def resize(self, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
        p = self.resize_param()
        for axis, into in ((2, height), (3, width)):
            size = x.shape[axis]
            place = torch.arange(into, device=x.device, dtype=torch.float32)
            place = (place + 0.5 if p.half_pixel_centers else place) * self.ratio(size, into)
            place = torch.floor(place + 0.5 if p.align_corners else place)
            x = x.index_select(axis, place.clamp(0, size - 1).long())
        return x
