"""ROIPooling."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.detection._regions import check_pooled, check_rois, clear_of_sync, half_away, images_of
from caffe.tensor_layer import TensorLayer

CHUNK = 64  # regions at a time; bounds the memory of the search


class ROIPooling(TensorLayer):
    """Region of interest pooling: the maximum of each of pooled_h × pooled_w bins laid over a region.

    A region's corners are scaled by ``spatial_scale`` and rounded (half away from zero); bin i covers rows
    floor(i·h/pooled_h) to ceil((i+1)·h/pooled_h), so that bins overlap. Empty bins give 0.

    bottom: features (N × C × H × W); regions (R × 5, or R × 5 × 1 × 1): image, x1, y1, x2, y2 in pixels of
    the image, both ends inside. top: R × C × pooled_h × pooled_w. A region with x2 < x1 or y2 < y1 reads
    one row or column and gets no gradient, as in the original.
    Differs from Caffe: nothing known. Source: rbgirshick/caffe-fast-rcnn; Girshick 2015.
    """

    num_bottoms = 2
    zero_gradient = (1,)
    origin = "Fast R-CNN (rbgirshick/caffe-fast-rcnn)"
    reads = {"roi_pooling_param": "* -pad_ratio"}

    def check(self, features: Shape, rois: Shape) -> None:
        check_pooled(self, self.param.roi_pooling_param)
        check_rois(self, features, rois)

    def compute(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        p = self.param.roi_pooling_param
        rois = rois.flatten(1)
        if x.is_meta:
            return x.new_empty(rois.shape[0], x.shape[1], p.pooled_h, p.pooled_w)
        n, c, h, w = x.shape
        image = images_of(self, rois, n)
        start_x, start_y, end_x, end_y = half_away(rois[:, 1:] * p.spatial_scale).unbind(1)
        cols = _bins(start_x, end_x, p.pooled_w, w)
        rows = _bins(start_y, end_y, p.pooled_h, h)
        with torch.no_grad():
            table = _RowMaxima(x)
            places = [
                table.find(*(part[i : i + CHUNK] for part in (image, *rows, *cols)))
                for i in range(0, rois.shape[0], CHUNK)
            ] or [torch.zeros(0, c, p.pooled_h, p.pooled_w, dtype=torch.long, device=x.device)]
            place = torch.cat(places)
            plane = (image[:, None] * c + torch.arange(c, device=x.device))[:, :, None, None]
        y = x.reshape(-1).index_select(0, (plane * (h * w) + place).reshape(-1)).reshape(place.shape)
        empty = ((rows[1] <= rows[0])[:, :, None] | (cols[1] <= cols[0])[:, None, :])[:, None]
        y = torch.where(empty, torch.zeros((), dtype=y.dtype, device=y.device), y)
        formed = ((end_x >= start_x) & (end_y >= start_y))[:, None, None, None]
        return torch.where(formed, y, y.detach())


def _bins(start: torch.Tensor, end: torch.Tensor, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each region's bins start and end (exclusive) along one axis: two R × count tensors."""
    step = (end - start + 1).clamp(min=1) / count
    i = torch.arange(count, device=start.device, dtype=start.dtype)
    low = torch.floor(i * step[:, None]) + start[:, None]
    high = torch.ceil((i + 1) * step[:, None]) + start[:, None]
    return low.clamp(0, size).long(), high.clamp(0, size).long()


class _RowMaxima:
    """Maxima of any range of columns, by a sparse table: level k holds those of 2ᵏ columns."""

    def __init__(self, x: torch.Tensor) -> None:
        value = x.permute(0, 3, 1, 2).contiguous()  # N × W × C × H
        width = value.shape[1]
        index = torch.arange(width, device=x.device, dtype=torch.int32)[None, :, None, None].expand_as(value)
        values, indices = [value], [index]
        step = 1
        while 2 * step <= width:
            left, right = slice(0, width - step), slice(step, width)
            better = value[:, right] > value[:, left]
            value, index = value.clone(), index.clone()
            value[:, left] = torch.where(better, values[-1][:, right], values[-1][:, left])
            index[:, left] = torch.where(better, indices[-1][:, right], indices[-1][:, left])
            values.append(value)
            indices.append(index)
            step *= 2
        self.values, self.indices = torch.stack(values), torch.stack(indices)
        self.width = width

    def find(
        self,
        image: torch.Tensor,
        row_start: torch.Tensor,
        row_end: torch.Tensor,
        col_start: torch.Tensor,
        col_end: torch.Tensor,
    ) -> torch.Tensor:
        """The place (row · W + column) of each bin's first maximum: R × C × rows × columns."""
        span = (col_end - col_start).clamp(min=1)
        level = torch.log2(span.double()).floor().long()
        first = col_start.clamp(max=self.width - 1)
        second = (col_start + span - 2**level).clamp(max=self.width - 1)
        n = image[:, None]
        value, other = self.values[level, n, first], self.values[level, n, second]  # R × columns × C × H
        index = torch.where(other > value, self.indices[level, n, second], self.indices[level, n, first])
        value = torch.maximum(value, other).permute(0, 3, 1, 2)  # R × H × columns × C
        index = index.permute(0, 3, 1, 2)

        height = value.shape[1]
        most = clear_of_sync((row_end - row_start).max(), height)
        row = row_start[:, :, None] + torch.arange(most, device=image.device)  # R × rows × most
        outside = (row >= row_end[:, :, None])[..., None, None]
        row = row.clamp(max=height - 1)
        region = torch.arange(image.shape[0], device=image.device)[:, None, None]
        best = value[region, row].masked_fill(outside, -torch.inf).argmax(2, keepdim=True)
        rows = torch.gather(row[..., None, None].expand(-1, -1, -1, *best.shape[3:]), 2, best).squeeze(2)
        columns = torch.gather(index[region, row], 2, best).squeeze(2)  # R × rows × columns × C
        return (rows * self.width + columns).permute(0, 3, 1, 2)
