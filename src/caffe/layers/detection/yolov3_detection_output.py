"""Yolov3DetectionOutput."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import Array
from caffe.layers.detection import _yolo
from caffe.tensor_layer import TensorLayer


class Yolov3DetectionOutput(TensorLayer):
    """Detections of YOLO v3: each anchor of each cell of several maps proposes a box for every class.

    Score = σ(objectness) · σ(class), kept above ``confidence_threshold``; then boxes that overlap a better
    one by ``nms_threshold`` or more are dropped, whatever their class. ``biases`` are widths and heights of
    all anchors in pixels, ``mask`` says which belong to each of the ``mask_group_num`` maps,
    ``anchors_scale`` how many pixels a cell of each map has.

    bottom: maps (N × num_box·(5 + classes) × H × W).
    top: (1 × 1 × K × 7) rows image, label (from 1), score, xmin, ymin, xmax, ymax in units of the image.
    Differs from Caffe: images of a batch keep apart, where eric612's all count as image 0; maps need not be
    square.
    Source: eric612/MobileNet-YOLO ``Yolov3DetectionOutput``; Redmon & Farhadi 2018.
    """

    origin = "MobileNet-YOLO (eric612/MobileNet-YOLO)"
    reads = {"yolov3_detection_output_param": "*"}
    num_bottoms = (1, None)
    differentiable = False
    in_place = False

    def check(self, *shapes: Shape) -> None:
        p = self.param.yolov3_detection_output_param
        if len(shapes) != p.mask_group_num:
            raise self.error(
                f"must be the number of bottoms, {len(shapes)}; got {p.mask_group_num}",
                field="mask_group_num",
            )
        if len(p.mask) < len(shapes) * p.num_box or len(p.mask) % len(shapes):
            raise self.error(
                f"must have num_box = {p.num_box} values a bottom, {len(shapes)} of these; got {len(p.mask)}",
                field="mask",
            )
        if len(p.anchors_scale) < len(shapes):
            raise self.error(
                f"must have {len(shapes)} values; got {len(p.anchors_scale)}", field="anchors_scale"
            )
        _yolo.check_anchors(self, p.biases, max(p.mask) + 1)
        for shape in shapes:
            _yolo.check_map(self, shape, p.num_box, p.num_classes)

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [(1, 1, 1, 7)]

    def compute(self, *maps: torch.Tensor) -> torch.Tensor:
        p = self.param.yolov3_detection_output_param
        masks = np.reshape(p.mask, (len(maps), -1))[:, : p.num_box]
        chosen: list[list[Array]] = [[] for _ in range(maps[0].shape[0])]
        for x, mask, scale in zip(maps, masks, p.anchors_scale):
            x = x.unflatten(1, (p.num_box, -1))
            h, w = x.shape[-2:]
            anchors = x.new_tensor(list(p.biases)).view(-1, 2)[torch.from_numpy(mask.astype(np.int64))]
            boxes = _yolo.box_map(x[:, :, :2].sigmoid(), x[:, :, 2:4], anchors, (w * scale, h * scale))
            scores = x[:, :, 5:].sigmoid() * x[:, :, 4:5].sigmoid()
            # in the original's order: row by row, column by column, anchor by anchor
            for i, (f, s) in enumerate(zip(_cells(boxes), _cells(scores))):
                cell, label = np.nonzero(s > p.confidence_threshold)
                chosen[i].append(np.concatenate([label[:, None] + 1, s[cell, label][:, None], f[cell]], 1))
        joined = [np.concatenate(rows).astype(np.float32) for rows in chosen]
        return _yolo.detection_rows(joined, p.nms_threshold, maps[0].device)


def _cells(x: torch.Tensor) -> Array:
    """N × A × k × H × W as N × H·W·A × k, on the host."""
    rows: Array = x.permute(0, 3, 4, 1, 2).flatten(1, 3).detach().float().cpu().numpy()
    return rows
