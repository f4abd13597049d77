"""BboxAccuracy."""

from __future__ import annotations

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import edges, overlaps
from caffe.layers.detection._cascade import move, read_normalization
from caffe.tensor_layer import TensorLayer

_TRUTH = 0.975  # regions that overlap their ground truth more are the truth itself


class BboxAccuracy(TensorLayer):
    """Mean overlap with the ground truth after regression, and before it; -1 without a foreground region.

    bottom: offsets (R × 4C, or R × 8 unless ``cls_aware``); regions (R × 5); matched ground truth (R × 6:
    label, x1, y1, x2, y2, overlap). top: the mean overlap of the moved regions; optionally of the regions
    (1 × 1 × 1 × 1 each).
    Differs from Caffe: nothing known. Source: zhaoweicai/cascade-rcnn.
    """

    num_bottoms = 3
    num_tops = (1, 2)
    no_gradient = (0, 1, 2)
    differentiable = False
    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"
    reads = {"bbox_reg_param": "* cls_aware"}

    def check(self, offsets: Shape, rois: Shape, truth: Shape) -> None:
        self.mean, self.std = read_normalization(self)
        aware = self.param.bbox_reg_param.cls_aware
        if offsets[0] != rois[0] or offsets[0] != truth[0] or (not aware and offsets[1] != 8):
            raise self.shape_error(
                "the bottoms must be R×4C (or R×8) offsets, R×5 regions and R×6 matches; got shapes"
                f" {list(offsets)}, {list(rois)}, {list(truth)}"
            )

    def compute(
        self, offsets: torch.Tensor, rois: torch.Tensor, truth: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        if offsets.is_meta:
            return tuple(offsets.new_empty(1, 1, 1, 1) for _ in range(self.top_count))
        matches = truth.float().cpu().numpy().reshape(truth.shape[0], -1)
        chosen = np.flatnonzero((matches[:, 0] > 0) & (matches[:, -1] <= _TRUTH))
        accuracies = [-1.0, -1.0]
        if len(chosen):
            label = matches[chosen, 0].astype(int)
            if not self.param.bbox_reg_param.cls_aware:
                label = np.ones_like(label)
            moves = offsets.float().cpu().numpy().reshape(offsets.shape[0], -1, 4)[chosen, label]
            regions = rois.float().cpu().numpy().reshape(rois.shape[0], -1)[chosen, 1:5]
            targets = matches[chosen, 1:5]
            moved = move(regions, moves * self.std + self.mean)
            accuracies = [
                float(np.diagonal(overlaps(edges(boxes), edges(targets))).mean())
                for boxes in (moved, regions)
            ]
        return tuple(torch.full((1, 1, 1, 1), f, device=offsets.device) for f in accuracies[: self.top_count])
