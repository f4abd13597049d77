"""DeformablePSROIPooling."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.detection._regions import check_position_sensitive, half_away, images_of
from caffe.tensor_layer import TensorLayer


class DeformablePSROIPooling(TensorLayer):
    """Position-sensitive region pooling whose bins are moved by offsets: bin (i, j) of output channel d is the
    mean of sample_per_part² bilinear values of channel (d·group_size + i)·group_size + j.

    A region's corners are rounded, the far ones get +1, then all are scaled by ``spatial_scale`` less ½. Bin
    (i, j) begins at its place plus ``trans_std`` · offset · the region's size; samples are taken at the starts
    of its sample_per_part² parts. Those more than half a pixel outside the map do not count, and without any
    the bin is 0. The output channels are split into K groups with offsets of their own: channels 2·k (to the
    right) and 2·k + 1 (down) at part (i·part_size / group_size, j·part_size / group_size).

    bottom: features (N × output_dim·group_size² × H × W); regions (R × 5): image, x1, y1, x2, y2; offsets
    (R × 2·K × part_size × part_size) unless ``no_trans``.
    top: R × output_dim × group_size × group_size. ``pooled_size`` is not used, as in the original.
    Differs from Caffe: nothing known. Source: fireae/caffe_latte ``DeformablePSROIPooling``; Dai et al. 2017.
    """

    num_bottoms = (2, 3)
    zero_gradient = (1,)
    origin = "deformable R-FCN (fireae/caffe_latte)"
    reads = {"deformable_psroi_pooling_param": "* -pooled_size"}

    def check(self, features: Shape, rois: Shape, *offsets: Shape) -> None:
        p = self.param.deformable_psroi_pooling_param
        check_position_sensitive(self, p, features, rois)
        if p.sample_per_part < 1:
            raise self.error(f"must be at least 1; got {p.sample_per_part}", field="sample_per_part")
        if p.no_trans:
            return
        if not offsets:
            raise self.error("needs a bottom 2, the offsets, or no_trans: true")
        if p.part_size < 1:
            raise self.error(f"must be at least 1; got {p.part_size}", field="part_size")
        shape = offsets[0]
        good = len(shape) == 4 and shape[0] == rois[0] and shape[2:] == (p.part_size, p.part_size)
        if not good or shape[1] < 2 or shape[1] % 2 or p.output_dim % (shape[1] // 2):
            raise self.shape_error(
                f"bottom 2, the offsets, must be {rois[0]} × 2·K × {p.part_size} × {p.part_size}, where K divides"
                f" output_dim {p.output_dim}; got {list(shape)}"
            )

    def compute(
        self, x: torch.Tensor, rois: torch.Tensor, offsets: torch.Tensor | None = None
    ) -> torch.Tensor:
        p = self.param.deformable_psroi_pooling_param
        g, rois = p.group_size, rois.flatten(1)
        if x.is_meta:
            return x.new_empty(rois.shape[0], p.output_dim, g, g)
        n, _, height, width = x.shape
        image = images_of(self, rois, n)[:, None, None, None, None, None]
        rounded = half_away(rois[:, 1:])
        start = rounded[:, :2] * p.spatial_scale - 0.5
        size = ((rounded[:, 2:] + 1) * p.spatial_scale - 0.5 - start).clamp(min=0.1)  # R × (width, height)
        bins = torch.arange(g, device=x.device)
        if p.no_trans or offsets is None:
            classes = 1
            moved = x.new_zeros(len(rois), 1, 2, 1, 1)
        else:
            classes = offsets.shape[1] // 2
            part = bins * p.part_size // g
            moved = offsets.unflatten(1, (classes, 2))[:, :, :, part[:, None], part] * p.trans_std
        samples = torch.arange(p.sample_per_part, device=x.device, dtype=x.dtype) / p.sample_per_part

        def places(axis: int, along: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
            """R × classes × g × g × samples × samples positions along one axis, of bins and of samples."""
            whole, first = (v[:, axis, None, None, None, None, None] for v in (size, start))
            return (
                (along[..., None, None] + steps) * whole / g
                + first
                + (moved[:, :, axis, :, :, None, None] * whole)
            )

        col = places(0, bins, samples)
        row = places(1, bins[:, None], samples[:, None])
        row, col = torch.broadcast_tensors(row, col)
        inside = (row >= -0.5) & (row <= height - 0.5) & (col >= -0.5) & (col <= width - 0.5)
        row, col = row.clamp(0, height - 1), col.clamp(0, width - 1)
        top, left = row.detach().floor().long(), col.detach().floor().long()
        bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
        down, across = (row - top)[..., None], (col - left)[..., None]
        maps = x.reshape(n, classes, -1, g, g, height, width)
        k = torch.arange(classes, device=x.device)[:, None, None, None, None]
        i, j = bins[:, None, None, None], bins[:, None, None]

        def at(r: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return maps[image, k, :, i, j, r, c]  # R × classes × g × g × samples × samples × channels a class

        value = (1 - down) * ((1 - across) * at(top, left) + across * at(top, right))
        value = value + down * ((1 - across) * at(bottom, left) + across * at(bottom, right))
        counted = inside.to(x.dtype)
        mean: torch.Tensor = (value * counted[..., None]).sum((4, 5)) / counted.sum((4, 5)).clamp(min=1)[
            ..., None
        ]
        return mean.permute(0, 1, 4, 2, 3).flatten(1, 2)
