"""YoloDetectionOutput."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Shape
from caffe.layers.detection import _yolo
from caffe.tensor_layer import TensorLayer


class YoloDetectionOutput(TensorLayer):
    """Detections of YOLO v2: each anchor of each cell proposes a box of its likeliest class.

    Score = σ(objectness) · softmax(classes), kept from ``confidence_threshold`` on; then boxes that overlap a
    better one by ``nms_threshold`` or more are dropped, whatever their class. ``biases`` are the anchors'
    widths and heights in cells.

    bottom: one or two maps (N × num_box·(5 + classes) × H × W).
    top: (1 × 1 × K × 7) rows image, label (from 1), score, xmin, ymin, xmax, ymax in units of the image.
    Differs from Caffe: images of a batch keep apart, where eric612's all count as image 0.
    Source: eric612/MobileNet-YOLO ``YoloDetectionOutput``; Redmon & Farhadi 2017.
    """

    origin = "MobileNet-YOLO (eric612/MobileNet-YOLO)"
    reads = {"yolo_detection_output_param": "* -coords"}
    num_bottoms = (1, 2)
    differentiable = False
    in_place = False

    def check(self, *shapes: Shape) -> None:
        p = self.param.yolo_detection_output_param
        for shape in shapes:
            _yolo.check_map(self, shape, p.num_box, p.num_classes)
        _yolo.check_anchors(self, p.biases, p.num_box)

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [(1, 1, 1, 7)]

    def compute(self, *maps: torch.Tensor) -> torch.Tensor:
        p = self.param.yolo_detection_output_param
        parts = []
        for x in maps:
            x = x.unflatten(1, (p.num_box, -1))
            anchors = x.new_tensor(list(p.biases)).view(-1, 2)[: p.num_box]
            h, w = x.shape[-2:]
            boxes = _yolo.box_map(x[:, :, :2].sigmoid(), x[:, :, 2:4], anchors, (w, h))
            score, label = x[:, :, 5:].softmax(2).max(2, keepdim=True)
            rows = torch.cat([label + 1, score * x[:, :, 4:5].sigmoid(), boxes], 2)
            # in the original's order: row by row, column by column, anchor by anchor
            parts.append(rows.permute(0, 3, 4, 1, 2).flatten(1, 3))
        host = torch.cat(parts, 1).detach().float().cpu().numpy()
        chosen = [rows[rows[:, 1] >= p.confidence_threshold] for rows in host]
        return _yolo.detection_rows(chosen, p.nms_threshold, maps[0].device)
