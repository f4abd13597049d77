"""RPNAnchorTarget: py-faster-rcnn's ``rpn.anchor_target_layer.AnchorTargetLayer``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe import runtime
from caffe.blob import Shape
from caffe.boxes import Array, edges, overlaps
from caffe.layers.detection._anchors import anchors_of, grid_of, offsets_of
from caffe.layers.detection._rpn import read_settings
from caffe.tensor_layer import TensorLayer


class RPNAnchorTarget(TensorLayer):
    """What a region proposal network should say of each anchor: 1 (object), 0 (background) or -1 (do not
    care).

    Of the anchors inside the image, objects are those that overlap a box most of all, or by
    rpn_positive_overlap or more; background those below rpn_negative_overlap with every box. Of
    rpn_batchsize anchors at most the share rpn_fg_fraction are objects; the others drawn out become -1. No
    gradient.

    Also what ``type: "Python"`` with module ``rpn.anchor_target_layer`` gives, where that module is not on
    the path.

    bottom: scores (for their size, 1 × 2A × H × W); boxes (G × 5: x1, y1, x2, y2, label); image (1 × 3:
    height, width, scale); optionally the image itself. top: labels (1 × 1 × A·H × W); targets, inside and
    outside weights (1 × 4A × H × W each).
    Differs from Caffe: other random numbers. Source: rbgirshick/py-faster-rcnn; Ren et al. 2015.
    """

    num_bottoms = (3, 4)
    num_tops = 4
    zero_gradient = (0, 1, 2, 3)
    differentiable = False
    origin = "Faster R-CNN (rbgirshick/py-faster-rcnn)"
    reads = {"python_param": "param_str"}

    def check(self, scores: Shape, boxes: Shape, info: Shape, *image: Shape) -> None:
        self.settings = read_settings(self, "feat_stride")
        self.anchors = anchors_of(16, list(self.settings["ratios"]), list(self.settings["scales"]))
        if len(scores) != 4 or scores[0] != 1 or len(boxes) < 2 or boxes[1] != 5:
            raise self.shape_error(
                f"the bottoms must be 1×2A×H×W scores and G×5 boxes; got shapes {list(scores)} and"
                f" {list(boxes)}"
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        height, width = shapes[0][2:]
        count = len(self.anchors)
        return [(1, 1, count * height, width), *[(1, 4 * count, height, width)] * 3]

    @property
    def draws(self) -> bool:
        return True

    def compute(
        self, scores: torch.Tensor, boxes: torch.Tensor, info: torch.Tensor, *image: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        s, count = self.settings, len(self.anchors)
        height, width = scores.shape[2:]
        size = info.float().cpu().reshape(-1).tolist()
        truth = boxes.float().cpu().numpy().reshape(-1, 5)
        grid = grid_of(self.anchors, height, width, s["feat_stride"]).reshape(-1, 4)
        border = s["allowed_border"]
        inside = np.flatnonzero(
            (grid[:, :2] >= -border).all(1)
            & (grid[:, 2] < size[1] + border)
            & (grid[:, 3] < size[0] + border)
        )
        label, match = self._labels(grid[inside], truth)
        targets = np.zeros((len(inside), 4), np.float32)
        if len(truth):
            targets = offsets_of(grid[inside], truth[match, :4])
        within = (label == 1)[:, None] * np.array(s["bbox_inside_weights"], np.float32)
        examples = max((label >= 0).sum(), 1)
        share = s["rpn_positive_weight"]
        front, back = 1 / examples, 1 / examples
        if share > 0:
            front, back = share / max((label == 1).sum(), 1), (1 - share) / max((label == 0).sum(), 1)
        outside = np.where(label == 1, front, np.where(label == 0, back, 0))[:, None].repeat(4, 1)
        maps = []
        for values, empty in ((label[:, None], -1), (targets, 0), (within, 0), (outside, 0)):
            full = np.full((len(grid), values.shape[1]), empty, np.float32)
            full[inside] = values
            maps.append(full.reshape(height, width, count, -1).transpose(2, 3, 0, 1))  # A × k × H × W
        shapes = self.infer(tuple(scores.shape))
        return tuple(
            torch.from_numpy(np.ascontiguousarray(m)).reshape(shape).to(scores.device)
            for m, shape in zip(maps, shapes)
        )

    def _labels(self, anchors: Array, truth: Array) -> tuple[Array, Array]:
        """Each anchor's label and box."""
        s, rng = self.settings, runtime.rng()
        label = np.full(len(anchors), -1, np.float32)
        if not len(truth) or not len(anchors):
            label[:] = 0
            match = np.zeros(len(anchors), np.int64)
        else:
            overlap = overlaps(edges(anchors), edges(truth[:, :4]))
            match, best = overlap.argmax(1), overlap.max(1)
            if not s["rpn_clobber_positives"]:
                label[best < s["rpn_negative_overlap"]] = 0
            label[(overlap == overlap.max(0)).any(1)] = 1
            label[best >= s["rpn_positive_overlap"]] = 1
            if s["rpn_clobber_positives"]:
                label[best < s["rpn_negative_overlap"]] = 0
        most = int(s["rpn_fg_fraction"] * s["rpn_batchsize"])
        for wanted in (1, 0):
            chosen = np.flatnonzero(label == wanted)
            if len(chosen) > most:
                label[rng.permutation(chosen)[most:]] = -1
            most = s["rpn_batchsize"] - int((label == 1).sum())
        return label, match


AnchorTargetLayer = RPNAnchorTarget
