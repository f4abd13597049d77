"""DetectionGroupAccuracy."""

from __future__ import annotations

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import edges, overlaps
from caffe.layers.detection._cascade import field_boxes, read_fields, read_normalization
from caffe.tensor_layer import TensorLayer

_BACKGROUND = 0.2  # the original's bg_threshold: background that overlaps more is left out


class DetectionGroupAccuracy(TensorLayer):
    """How a proposal network does: the share of cells classified right, of foreground cells too, and the mean
    overlap of foreground boxes with their ground truth. -1 where there is nothing to count. No gradient.

    bottom: scores (N·G × cls_num × H × W); offsets (N·G × 4 × H × W); ground truth (N·G × 6 × H × W: label,
    centre, size, overlap). top: both shares (1 × 1 × 1 × 2); optionally the mean overlap (1 × 1 × 1 × 1).
    Differs from Caffe: nothing known. Source: zhaoweicai/cascade-rcnn.
    """

    num_bottoms = 3
    num_tops = (1, 2)
    no_gradient = (0, 1, 2)
    differentiable = False
    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"
    reads = {"loss_param": "ignore_label", "bbox_reg_param": "*", "detection_group_accuracy_param": "*"}

    def check(self, scores: Shape, offsets: Shape, truth: Shape) -> None:
        p = self.param.detection_group_accuracy_param
        self.mean, self.std = read_normalization(self)
        self.fields = read_fields(self, p)
        check_maps(self, scores, offsets, truth, p.cls_num, len(self.fields[0]))

    def compute(
        self, scores: torch.Tensor, offsets: torch.Tensor, truth: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        shapes = ((1, 1, 1, 2), (1, 1, 1, 1))[: self.top_count]
        if scores.is_meta:
            return tuple(scores.new_empty(shape) for shape in shapes)
        p = self.param.detection_group_accuracy_param
        ignored = (
            self.param.loss_param.ignore_label if self.param.loss_param.HasField("ignore_label") else None
        )
        label = truth[:, 0].long()
        wanted = label.clamp(max=1) if p.objectness else label
        counted = (wanted != 0) | (truth[:, 5] < _BACKGROUND)
        if ignored is not None:
            counted &= wanted != ignored
        right = (scores.argmax(1) == wanted) & counted
        front = counted & (wanted != 0)
        shares = [_share(right, counted), _share(right & front, front)]
        tops = [torch.tensor(shares, device=scores.device).reshape(shapes[0])]
        if self.top_count == 2:
            chosen = (label != 0) if ignored is None else (label != 0) & (label != ignored)
            tops.append(
                torch.tensor(self._overlap(offsets, truth, chosen), device=scores.device).reshape(shapes[1])
            )
        return tuple(tops)

    def _overlap(self, offsets: torch.Tensor, truth: torch.Tensor, chosen: torch.Tensor) -> float:
        p = self.param.detection_group_accuracy_param
        widths, heights, stride = self.fields
        images = offsets.shape[0] // len(widths)
        moved = offsets.float().cpu().numpy() * self.std[:, None, None] + self.mean[:, None, None]
        widths, heights = np.tile(widths, images), np.tile(heights, images)
        where = chosen.cpu().numpy()
        boxes = field_boxes(moved, widths, heights, stride, (p.field_xyr, p.field_whr))[where]
        if not len(boxes):
            return -1.0
        targets = truth.float().cpu().numpy().transpose(0, 2, 3, 1)[where]
        start = targets[:, 1:3] - targets[:, 3:5] / 2
        targets = np.concatenate([start, start + targets[:, 3:5] - 1], 1)
        return float(
            np.mean([overlaps(edges(b[None]), edges(t[None]))[0, 0] for b, t in zip(boxes, targets)])
        )


def _share(part: torch.Tensor, whole: torch.Tensor) -> float:
    count = int(whole.sum())
    return int(part.sum()) / count if count else -1.0


def check_maps(
    layer: TensorLayer, scores: Shape, offsets: Shape, truth: Shape, classes: int, fields: int
) -> None:
    """Raise ShapeError unless the bottoms are maps of scores, offsets and ground truth for the fields."""
    if (
        len(scores) != 4
        or scores[0] % fields
        or scores[1] != classes
        or offsets != (scores[0], 4, *scores[2:])
        or truth != (scores[0], 6, *scores[2:])
    ):
        raise layer.shape_error(
            f"the bottoms must be N·{fields}×{classes}×H×W scores, N·{fields}×4×H×W offsets and"
            f" N·{fields}×6×H×W"
            f" ground truth; got shapes {list(scores)}, {list(offsets)}, {list(truth)}"
        )
