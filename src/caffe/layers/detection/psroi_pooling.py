"""PSROIPooling."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.detection._regions import check_position_sensitive, half_away, images_of
from caffe.tensor_layer import TensorLayer


class PSROIPooling(TensorLayer):
    """Position-sensitive region pooling: bin (i, j) of output channel d is the mean, over the bin, of channel
    (d·group_size + i)·group_size + j. Empty bins give 0.

    A region's corners are rounded, the far ones get +1, then all are scaled by ``spatial_scale``.

    bottom: features (N × output_dim·group_size² × H × W); regions (R × 5): image, x1, y1, x2, y2.
    top: R × output_dim × group_size × group_size.
    Differs from Caffe: nothing known. Source: daijifeng001/caffe-rfcn; Dai et al. 2016 (R-FCN).
    """

    num_bottoms = 2
    zero_gradient = (1,)
    origin = "R-FCN (daijifeng001/caffe-rfcn)"
    reads = {"psroi_pooling_param": "*"}

    def check(self, features: Shape, rois: Shape) -> None:
        check_position_sensitive(self, self.param.psroi_pooling_param, features, rois)

    def compute(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        p = self.param.psroi_pooling_param
        rois, g = rois.flatten(1), p.group_size
        n, _, height, width = x.shape
        if x.is_meta:
            return x.new_empty(rois.shape[0], p.output_dim, g, g)
        image = images_of(self, rois, n)
        rounded = half_away(rois[:, 1:])
        start, end = rounded[:, :2] * p.spatial_scale, (rounded[:, 2:] + 1) * p.spatial_scale
        left, right = _bins(start[:, 0], end[:, 0], g, width)
        top, bottom = _bins(start[:, 1], end[:, 1], g, height)
        # sums of rectangles from sums of all rectangles that start at the origin, kept in double precision
        wide = x if x.device.type == "mps" else x.double()
        total = torch.nn.functional.pad(wide.cumsum(2).cumsum(3), (1, 0, 1, 0))
        total = total.reshape(n, p.output_dim, g, g, height + 1, width + 1)
        r, i, j = (
            image[:, None, None],
            torch.arange(g, device=x.device)[:, None],
            torch.arange(g, device=x.device),
        )

        def upto(row: torch.Tensor, col: torch.Tensor) -> torch.Tensor:
            return total[r, :, i, j, row[:, :, None], col[:, None, :]]  # R × g × g × output_dim

        sums = upto(bottom, right) - upto(top, right) - upto(bottom, left) + upto(top, left)
        area = ((bottom - top).clamp(min=0)[:, :, None] * (right - left).clamp(min=0)[:, None])[..., None]
        mean = torch.where(area > 0, sums / area.clamp(min=1), torch.zeros_like(sums))
        return mean.to(x.dtype).permute(0, 3, 1, 2)


def _bins(start: torch.Tensor, end: torch.Tensor, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    step = (end - start).clamp(min=0.1) / count
    i = torch.arange(count, device=start.device, dtype=start.dtype)
    low = torch.floor(i * step[:, None] + start[:, None]).clamp(0, size)
    high = torch.ceil((i + 1) * step[:, None] + start[:, None]).clamp(0, size)
    return low.long(), high.long()
