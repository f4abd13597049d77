"""FrcnnOutput."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import by_score, edges, suppress
from caffe.layers.detection._cascade import move, read_normalization
from caffe.tensor_layer import TensorLayer


class FrcnnOutput(TensorLayer):
    """Detections of one image from classified regions: per class those with p ≥ conf_thr, after non-maximum
    suppression; max_det_num of all classes. No gradient.

    bottom: probabilities (R × C, class 0 the background); offsets (R × 4C, or R × 8 unless ``cls_aware``);
    regions (R × 5); image height and width (1 × 2). top: 1 + D rows of image, x1, y1, x2, y2, class, score;
    the first row is 0 and -1s.
    Differs from Caffe: detections are not written to files. Source: zhaoweicai/cascade-rcnn.
    """

    num_bottoms = 4
    no_gradient = (0, 1, 2, 3)
    differentiable = False
    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"
    reads = {"bbox_reg_param": "* cls_aware", "frcnn_output_param": "*"}

    def check(self, prob: Shape, offsets: Shape, rois: Shape, size: Shape) -> None:
        self.mean, self.std = read_normalization(self)
        columns = 4 * prob[1] if self.param.bbox_reg_param.cls_aware else 8
        if prob[0] != offsets[0] or prob[0] != rois[0] or offsets[1] != columns or rois[1] not in (5, 6):
            raise self.shape_error(
                f"the bottoms must be R×C probabilities, R×{columns} offsets and R×5 regions; got shapes"
                f" {list(prob)}, {list(offsets)}, {list(rois)}"
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [(1, 7, 1, 1)]

    def compute(
        self, prob: torch.Tensor, offsets: torch.Tensor, rois: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor:
        p = self.param.frcnn_output_param
        scores = prob.float().cpu().numpy().reshape(prob.shape[0], -1)
        regions = rois.float().cpu().numpy().reshape(len(scores), -1)
        moves = offsets.float().cpu().numpy().reshape(len(scores), -1, 4) * self.std + self.mean
        boxes = move(regions[:, None, 1:5], moves)
        height, width = size.float().cpu().reshape(-1)[:2].tolist()
        boxes[..., :2] = np.maximum(boxes[..., :2], 0)
        boxes[..., 2:] = np.minimum(boxes[..., 2:], [width, height])
        rows = []
        for label in range(1, scores.shape[1]):
            chosen = np.flatnonzero(scores[:, label] >= p.conf_thr)
            chosen = chosen[by_score(scores[chosen, label])]
            own = boxes[chosen, label if self.param.bbox_reg_param.cls_aware else 1]
            kept = suppress(edges(own), p.iou_thr, of_smaller=p.nms_type == "IOMU")
            columns = (
                np.zeros(len(kept)),
                *own[kept].T,
                np.full(len(kept), label),
                scores[chosen[kept], label],
            )
            rows.append(np.stack(columns, 1))
        detections = np.concatenate(rows) if rows else np.zeros((0, 7))
        if p.max_det_num and len(detections) > p.max_det_num:
            best = by_score(detections[:, 6])[: p.max_det_num]
            detections = detections[best[np.argsort(detections[best, 5], kind="stable")]]
        first = np.full((1, 7), -1.0)
        first[0, 0] = 0
        tops = np.concatenate([first, detections]).astype(np.float32)
        return torch.from_numpy(tops).to(prob.device)[:, :, None, None]
