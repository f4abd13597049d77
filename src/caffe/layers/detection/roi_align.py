"""ROIAlign."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.detection._regions import bilinear, check_pooled, check_rois, clear_of_sync, images_of
from caffe.tensor_layer import TensorLayer


class ROIAlign(TensorLayer):
    """Values of a feature map inside regions, without rounding; three different layers have this name.

    - ``roi_align_param`` with ``sampling_ratio`` (Cambricon, Detectron): the mean of sampling_ratio² bilinear
      samples a bin (0: as many as the bin is wide); a region is at least 1 × 1. top: R × C × pooled_h ×
      pooled_w.
    - ``roi_align_param`` without it (Synopsys' Mask R-CNN): a bin takes at most its first four whole grid
      points, weights them by their distance to four fixed samples of the region (±½, ±½) and gives the
      largest of the four sums. top: R × C × pooled_h × pooled_w.
    - ``roi_pooling_param`` (Cascade R-CNN): bilinear values at the corners of the bins, of a region grown by
      ``pad_ratio`` and moved by -½; 0 outside the map. top: R × C × (pooled_h + 1) × (pooled_w + 1).

    bottom: features (N × C × H × W); regions (R × 5): image, x1, y1, x2, y2 in pixels of the image.
    Differs from Caffe: points that Synopsys' layer reads beyond the map's last row or column are left out,
    and the gradient goes to the region's image where its layer takes the region's number for it.
    Source: He et al. 2017; synopsys-caffe; zhaoweicai/cascade-rcnn; Detectron.
    """

    num_bottoms = 2
    zero_gradient = (1,)
    origin = (
        "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe), "
        "Cascade R-CNN (zhaoweicai/cascade-rcnn), "
        "Cambricon"
    )
    reads = {"roi_pooling_param": "*", "roi_align_param": "*"}

    def check(self, features: Shape, rois: Shape) -> None:
        corners, align = self.param.HasField("roi_pooling_param"), self.param.HasField("roi_align_param")
        if corners and align:
            raise self.error(
                "roi_align_param (Mask R-CNN) and roi_pooling_param (Cascade R-CNN) belong to"
                " different layers;"
                " got both",
                fix="Keep the one of your fork",
            )
        check_pooled(self, self.param.roi_pooling_param if corners else self.param.roi_align_param)
        check_rois(self, features, rois)

    def compute(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        rois = rois.flatten(1)
        corners = self.param.HasField("roi_pooling_param")
        p = self.param.roi_pooling_param if corners else self.param.roi_align_param
        if x.is_meta:
            return x.new_empty(rois.shape[0], x.shape[1], p.pooled_h + corners, p.pooled_w + corners)
        image = images_of(self, rois, x.shape[0])
        if corners:
            return self._corners(x, image, rois)
        if p.HasField("sampling_ratio"):
            return self._means(x, image, rois)
        return self._grid_points(x, image, rois)

    def _corners(self, x: torch.Tensor, image: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        p = self.param.roi_pooling_param
        size = torch.stack([rois[:, 3] - rois[:, 1] + 1, rois[:, 4] - rois[:, 2] + 1], 1) * p.pad_ratio
        start = (rois[:, 1:3] - size) * p.spatial_scale - 0.5
        end = (rois[:, 3:5] + size) * p.spatial_scale - 0.5
        span = end - start
        col = start[:, :1] + torch.arange(p.pooled_w + 1, device=x.device) * (span[:, :1] / p.pooled_w)
        row = start[:, 1:] + torch.arange(p.pooled_h + 1, device=x.device) * (span[:, 1:] / p.pooled_h)
        inside = _within(row, x.shape[2])[:, :, None] & _within(col, x.shape[3])[:, None]
        inside = inside & (span > 0).all(1)[:, None, None]
        return bilinear(x, image, row, col) * inside[:, None].to(x.dtype)

    def _means(self, x: torch.Tensor, image: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        p = self.param.roi_align_param
        start = rois[:, 1:3] * p.spatial_scale
        span = (rois[:, 3:5] * p.spatial_scale - start).clamp(min=1)
        step = span / torch.tensor([p.pooled_w, p.pooled_h], dtype=span.dtype, device=x.device)
        each = torch.full_like(step, p.sampling_ratio) if p.sampling_ratio > 0 else step.ceil()
        most = p.sampling_ratio if p.sampling_ratio > 0 else clear_of_sync(each.max(), max(x.shape[2:]) + 1)
        i = torch.arange(most, device=x.device)
        rows, cols = (
            (
                start[:, axis, None, None]
                + (torch.arange(bins, device=x.device)[:, None] + (i + 0.5) / each[:, axis, None, None])
                * step[:, axis, None, None]
            ).flatten(1)
            for axis, bins in ((1, p.pooled_h), (0, p.pooled_w))
        )
        used = (i < each[:, 1:2])[:, :, None] & (i < each[:, :1])[:, None]  # R × most × most
        inside = ((rows >= -1) & (rows <= x.shape[2]))[:, :, None] & ((cols >= -1) & (cols <= x.shape[3]))[
            :, None
        ]
        value = bilinear(x, image, rows, cols) * inside[:, None].to(x.dtype)
        value = value.reshape(*value.shape[:2], p.pooled_h, most, p.pooled_w, most)
        total = (value * used[:, None, None, :, None].to(x.dtype)).sum((3, 5))
        return total / each.prod(1)[:, None, None, None]

    def _grid_points(self, x: torch.Tensor, image: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        p = self.param.roi_align_param
        scaled = rois[:, 1:] * p.spatial_scale
        rows, row_at = _points(scaled[:, 1], scaled[:, 3], p.pooled_h, x.shape[2])
        cols, col_at = _points(scaled[:, 0], scaled[:, 2], p.pooled_w, x.shape[3])
        # the first four points of a bin, row by row: place k is row k // columns, column k % columns
        wide = (cols[1] - cols[0] + 1).clamp(min=0)[:, None, :, None]  # R × 1 × pooled_w × 1
        high = (rows[1] - rows[0] + 1).clamp(min=0)[:, :, None, None]
        k = torch.arange(4, device=x.device)
        row = rows[0][:, :, None, None] + k // wide.clamp(min=1)
        col = cols[0][:, None, :, None] + k % wide.clamp(min=1)
        used = (k < wide * high) & (row < x.shape[2]) & (col < x.shape[3])
        row, col = row.clamp(0, x.shape[2] - 1), col.expand_as(row).clamp(0, x.shape[3] - 1)
        value = x[image[:, None, None, None], :, row, col]  # R × pooled_h × pooled_w × 4 × C
        sample = torch.tensor([-0.5, 0.5], dtype=x.dtype, device=x.device)
        across = (1 - (sample[:, None] - col_at(col)[..., None, :]).abs()).clamp(min=0)  # … × 2 × 4
        down = (1 - (sample[:, None] - row_at(row)[..., None, :]).abs()).clamp(min=0)
        weight = across[..., :, None, :] * down[..., None, :, :] * used[..., None, None, :].to(x.dtype)
        sums = torch.einsum("rhwabk,rhwkc->rcabhw", weight, value).flatten(2, 3)  # R × C × 4 × …
        largest = sums.amax(2) if not sums.requires_grad else _first_max(sums)
        empty = ~(rows[2][:, :, None] & cols[2][:, None, :])[:, None]
        return torch.where(empty, largest.clamp(min=0), largest)


def _first_max(sums: torch.Tensor) -> torch.Tensor:
    return torch.gather(sums, 2, sums.detach().max(2, keepdim=True).indices).squeeze(2)


def _within(at: torch.Tensor, size: int) -> torch.Tensor:
    return (at >= -0.5) & (at <= size - 0.5)


def _points(start: torch.Tensor, end: torch.Tensor, bins: int, size: int):  # type: ignore[no-untyped-def]
    """Along one axis: each bin's first and last whole point and whether it has an extent; a point's place in
    the region, from -1 to 1."""
    step = (end - start + 1).clamp(min=1) / bins
    i = torch.arange(bins, device=start.device, dtype=start.dtype)
    low = (i * step[:, None] + start[:, None]).clamp(0, size)
    high = ((i + 1) * step[:, None] + start[:, None]).clamp(0, size)

    def place(point: torch.Tensor) -> torch.Tensor:
        begin, span = start[:, None, None, None], (end - start)[:, None, None, None]
        at = 2 * (point.to(start.dtype) - begin) / torch.where(span == 0, torch.ones_like(span), span) - 1
        return torch.where(span == 0, torch.zeros_like(at), at.clamp(-1, 1))

    return (low.ceil().long(), high.floor().long(), high > low), place
