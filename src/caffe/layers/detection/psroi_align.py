"""PSROIAlign."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.detection._regions import check_position_sensitive, images_of
from caffe.tensor_layer import TensorLayer


class PSROIAlign(TensorLayer):
    """Position-sensitive region align: bin (i, j) of output channel d is the mean of sample_num² bilinear
    values, in the bin, of channel (d·group_size + i)·group_size + j. Bins are not rounded; empty ones give
    0.

    bottom: features (N × output_dim·group_size² × H × W); regions (R × 5): image, x1, y1, x2, y2, the far
    corners inside. top: R × output_dim × group_size × group_size. sample_num 0 counts as 2.
    Differs from Caffe: without sample_num forks sample as often as a bin is wide. Source: forks of R-FCN;
    He et al. 2017, Dai et al. 2016.
    """

    num_bottoms = 2
    zero_gradient = (1,)
    origin = "R-FCN (daijifeng001/caffe-rfcn)"
    reads = {"psroi_align_param": "*"}

    def check(self, features: Shape, rois: Shape) -> None:
        check_position_sensitive(self, self.param.psroi_align_param, features, rois)

    def compute(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        p = self.param.psroi_align_param
        g, rois = p.group_size, rois.flatten(1)
        if x.is_meta:
            return x.new_empty(rois.shape[0], p.output_dim, g, g)
        n, _, height, width = x.shape
        image = images_of(self, rois, n)[:, None, None, None, None]
        start = rois[:, 1:3] * p.spatial_scale
        step = ((rois[:, 3:5] + 1) * p.spatial_scale - start).clamp(min=1) / g
        count = p.sample_num or 2
        part = (torch.arange(count, device=x.device, dtype=x.dtype) + 0.5) / count
        bins = torch.arange(g, device=x.device)

        def places(axis: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
            """R × g × count positions along one axis, and which bins have an extent."""
            low = (bins * step[:, axis, None] + start[:, axis, None]).clamp(0, size)
            high = ((bins + 1) * step[:, axis, None] + start[:, axis, None]).clamp(0, size)
            return low[..., None] + part * step[:, axis, None, None], high > low

        (col, wide), (row, high) = places(0, width), places(1, height)
        inside = (row <= height)[:, :, :, None, None] & (col <= width)[
            :, None, None
        ]  # R × g × count × g × count
        row, col = row[:, :, :, None, None].clamp(0, height - 1), col[:, None, None].clamp(0, width - 1)
        top, left = row.floor().long(), col.floor().long()
        bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
        down, across = (row - top)[..., None], (col - left)[..., None]
        maps = x.reshape(n, p.output_dim, g, g, height, width)
        i, j = bins[None, :, None, None, None], bins[None, None, None, :, None]

        def at(r: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return maps[image, :, i, j, r, c]  # R × g × count × g × count × output_dim

        value = (1 - down) * ((1 - across) * at(top, left) + across * at(top, right))
        value = value + down * ((1 - across) * at(bottom, left) + across * at(bottom, right))
        mean = (value * inside[..., None].to(x.dtype)).mean((2, 4))
        filled = (high[:, :, None] & wide[:, None])[..., None].to(x.dtype)
        return (mean * filled).permute(0, 3, 1, 2)
