"""ProposalTarget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe import runtime
from caffe.blob import Shape
from caffe.boxes import Array, edges, overlaps
from caffe.layers.detection._anchors import offsets_of
from caffe.layers.detection._cascade import read_normalization
from caffe.tensor_layer import TensorLayer


class ProposalTarget(TensorLayer):
    """Draws regions to train on and says what they should become. No gradient.

    The ground truth is added to the regions. Foreground are those that overlap a box of their image by
    fg_thr or more (boxes to be ignored aside), background those in [bg_thr_lw, bg_thr_hg); of batch_size
    regions at most the share fg_fraction is foreground (all of both where batch_size is -1).

    bottom: regions (R × 5: image, x1, y1, x2, y2); ground truth (G × 7 or 8: image (-1 none), x1, y1, x2,
    y2, label, ignored, …). top: regions (S × 5); labels (S); targets, inside and outside weights (S × 8, or
    S × 4·cls_num with ``cls_aware``); matches (S × 6: label, x1, y1, x2, y2, overlap); optionally weights
    of the samples (S).
    Differs from Caffe: other random numbers; without a single region the first one is background.
    Source: zhaoweicai/cascade-rcnn; Cai & Vasconcelos 2018.
    """

    num_bottoms = 2
    num_tops = (6, 7)
    zero_gradient = (0, 1)
    differentiable = False
    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"
    reads = {"bbox_reg_param": "* cls_aware", "proposal_target_param": "*"}

    def check(self, rois: Shape, truth: Shape) -> None:
        p = self.param.proposal_target_param
        self.mean, self.std = read_normalization(self)
        if p.batch_size == 0 or p.batch_size < -1:
            raise self.error(f"must be -1 (all) or at least 1; got {p.batch_size}", field="batch_size")
        if p.fg_thr < p.bg_thr_hg:
            raise self.error(
                f"must be at least bg_thr_hg = {p.bg_thr_hg:g}; got {p.fg_thr:g}", field="fg_thr"
            )
        if len(rois) < 2 or rois[1] != 5 or len(truth) < 2 or truth[1] < 7:
            raise self.shape_error(
                f"the bottoms must be R×5 regions and G×7 ground truth; got shapes {list(rois)} and"
                f" {list(truth)}"
            )
        self.columns = 4 * p.cls_num if self.param.bbox_reg_param.cls_aware else 8

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        batch = self.param.proposal_target_param.batch_size
        count = max(shapes[0][0], 1) if batch == -1 else batch
        widths = (5, 1, self.columns, self.columns, self.columns, 6, 1)
        return [(count, width, 1, 1) for width in widths[: self.top_count]]

    @property
    def draws(self) -> bool:
        return True

    def compute(self, rois: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, ...]:
        p = self.param.proposal_target_param
        boxes = truth.float().cpu().numpy().reshape(truth.shape[0], -1)
        boxes = boxes[boxes[:, 0] >= 0]
        regions = np.concatenate([rois.float().cpu().numpy().reshape(-1, 5), boxes[:, :5]])
        match, overlap = _best(regions, boxes)
        front = overlap >= p.fg_thr
        if len(boxes):
            front &= boxes[match, 6] == 0
        behind = (overlap >= p.bg_thr_lw) & (overlap < p.bg_thr_hg)
        chosen, foreground = self._draw(np.flatnonzero(front), np.flatnonzero(behind))
        label = np.zeros(len(chosen), np.float32)
        targets = np.zeros((len(chosen), self.columns), np.float32)
        matches = np.zeros((len(chosen), 6), np.float32)
        weights = np.zeros_like(targets)
        if foreground:
            first, own = chosen[:foreground], boxes[match[chosen[:foreground]]]
            label[:foreground] = own[:, 5]
            offsets = (offsets_of(regions[first, 1:], own[:, 1:5]) - self.mean) / self.std
            place = (
                label[:foreground].astype(int)
                if self.param.bbox_reg_param.cls_aware
                else np.ones(foreground, int)
            )
            column = 4 * place[:, None] + np.arange(4)
            row = np.arange(foreground)[:, None]
            targets[row, column], weights[row, column] = offsets, 1
            matches[:foreground] = np.concatenate([own[:, 5:6], own[:, 1:5], overlap[first, None]], 1)
        back = len(chosen) - foreground
        share = np.where(label > 0, p.fg_fraction / max(foreground, 1), (1 - p.fg_fraction) / max(back, 1))
        sample = share * len(chosen) if foreground else np.ones(len(chosen))
        tops = (regions[chosen], label, targets, weights, weights, matches, sample)
        return tuple(
            torch.from_numpy(np.ascontiguousarray(t, np.float32))
            .to(rois.device)
            .reshape(len(chosen), -1, 1, 1)
            for t in tops[: self.top_count]
        )

    def _draw(self, front: Array, back: Array) -> tuple[Array, int]:
        """The rows taken, foreground first, and how many of them are."""
        p, rng = self.param.proposal_target_param, runtime.rng()
        if p.batch_size != -1:
            most = min(int(p.fg_fraction * p.batch_size + 0.5), len(front))
            front = rng.permutation(front)[:most] if len(front) > most else front
            most = p.batch_size - len(front)
            back = rng.permutation(back)[:most] if len(back) > most else back
        if not len(front) and not len(back):
            back = np.zeros(1, np.int64)
        return np.concatenate([front, back]), len(front)


def _best(regions: Array, boxes: Array) -> tuple[Array, Array]:
    """Each region's best box of its image, and their overlap (0 without one)."""
    if not len(boxes):
        return np.zeros(len(regions), np.int64), np.zeros(len(regions), np.float32)
    overlap = overlaps(edges(regions[:, 1:]), edges(boxes[:, 1:5]))
    overlap[regions[:, :1] != boxes[None, :, 0]] = -1
    return overlap.argmax(1), np.maximum(overlap.max(1), 0)
