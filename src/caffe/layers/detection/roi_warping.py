"""ROIWarping."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.detection._regions import bilinear, check_pooled, check_rois, images_of
from caffe.tensor_layer import TensorLayer


class ROIWarping(TensorLayer):
    """Resizes regions of a feature map by bilinear interpolation: values at the middles of pooled_h ×
    pooled_w bins.

    bottom: features (N × C × H × W); regions (R × 5): image, x1, y1, x2, y2 in pixels of the image.
    top: R × C × pooled_h × pooled_w.
    Differs from Caffe: regions get no gradient. Source: daijifeng001/caffe-mnc; Dai et al. 2016.
    """

    num_bottoms = 2
    zero_gradient = (1,)
    origin = "MNC (daijifeng001/caffe-mnc)"
    reads = {"roi_warping_param": "*"}

    def check(self, features: Shape, rois: Shape) -> None:
        check_pooled(self, self.param.roi_warping_param)
        check_rois(self, features, rois)

    def compute(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        p = self.param.roi_warping_param
        rois = rois.flatten(1)
        if x.is_meta:
            return x.new_empty(rois.shape[0], x.shape[1], p.pooled_h, p.pooled_w)
        image = images_of(self, rois, x.shape[0])
        start = rois[:, 1:3] * p.spatial_scale
        span = ((rois[:, 3:5] - rois[:, 1:3] + 1) * p.spatial_scale).clamp(min=1)
        cols, rows = (
            start[:, axis, None]
            + (torch.arange(bins, device=x.device) + 0.5) * (span[:, axis, None] / bins)
            - 0.5
            for axis, bins in ((0, p.pooled_w), (1, p.pooled_h))
        )
        return bilinear(x, image, rows, cols)
