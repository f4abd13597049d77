"""DecodeBBox."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Shape
from caffe.layers.detection._cascade import move, read_normalization
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

_NEARLY_TRUTH = 0.95  # the original's gt_iou_thr: boxes that are the ground truth itself


class DecodeBBox(TensorLayer):
    """Boxes moved by predicted offsets, for the next stage of a cascade. No gradient.

    In TRAIN malformed boxes are left out, and with a third bottom those that overlap their ground truth by
    0.95 or more, so that the truth appended to the proposals is not refined.

    bottom: offsets (R × 8, the last 4 used); regions (R × 5: image, x1, y1, x2, y2); optionally the matched
    ground truth (R × 6, the last column the overlap). top: regions (at most R × 5).
    Differs from Caffe: where all boxes are left out, all are kept; the original stops.
    Source: zhaoweicai/cascade-rcnn; Cai & Vasconcelos 2018.
    """

    num_bottoms = (2, 3)
    zero_gradient = (0, 1, 2)
    differentiable = False
    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"
    reads = {"bbox_reg_param": "*"}

    def check(self, offsets: Shape, rois: Shape, truth: Shape | None = None) -> None:
        self.mean, self.std = read_normalization(self)
        if len(offsets) < 2 or offsets[1] != 8 or len(rois) < 2 or rois[1] != 5 or rois[0] != offsets[0]:
            raise self.shape_error(
                f"the bottoms must be R×8 offsets and R×5 regions; got shapes {list(offsets)} and"
                f" {list(rois)}"
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [shapes[1]]

    def compute(
        self, offsets: torch.Tensor, rois: torch.Tensor, truth: torch.Tensor | None = None
    ) -> torch.Tensor:
        regions = rois.float().cpu().numpy().reshape(-1, 5)
        moved = move(
            regions[:, 1:], offsets.float().cpu().numpy().reshape(-1, 8)[:, 4:] * self.std + self.mean
        )
        decoded = torch.from_numpy(moved)
        kept = torch.ones(len(decoded), dtype=torch.bool)
        if self.phase == caffe_pb2.TRAIN:
            kept = (decoded[:, 2:] >= decoded[:, :2]).all(1)
            if truth is not None:
                kept &= truth.float().cpu().reshape(len(decoded), -1)[:, -1] < _NEARLY_TRUTH
        if not bool(kept.any()):
            kept[:] = True
        boxes = torch.cat([torch.from_numpy(regions[:, :1]), decoded], 1)[kept]
        return boxes.to(rois.device).reshape(-1, 5, *[1] * (rois.dim() - 2))
