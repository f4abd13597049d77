"""Proposal."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import Array, by_score, edges, suppress
from caffe.layers.detection._anchors import anchors_of, clip, grid_of, moved
from caffe.tensor_layer import TensorLayer

_SYNOPSYS = ("anchor_base_size", "anchor_scale", "anchor_ratio", "max_rois", "rpn_nms_thresh", "rpn_min_size")
_PVANET = ("base_size", "min_size", "post_nms_topn", "nms_thresh")


class Proposal(TensorLayer):
    """Regions that may hold objects, from a region proposal network: decoded anchors, best first, after
    non-maximum suppression. No gradient.

    PVANet's layer (fields ratio, scale, base_size …; mini-caffe): anchors smaller than min_size in the
    unscaled image score 0; the pre_nms_topn best go through suppression, post_nms_topn are kept, for every
    image. Synopsys' layer (fields anchor_scale, anchor_ratio, rpn_min_size …; also where neither's fields
    are given): anchor_scale and anchor_ratio are counts, 3 for {8, 16, 32} and {½, 1, 2}, else {32} and
    {1}; too small boxes are left out, except the last; of the rest pre_nms_topn are sorted, but all go
    through suppression; one image.

    bottom: scores (N × 2A × H × W, the second half foreground); offsets (N × 4A × H × W); image sizes
    (height, width, scale, or height, width and both scales). top: regions (R × 5: image, x1, y1, x2, y2);
    optionally their scores.
    caffe-windows' layer has PVANet's fields, but ``scale`` in pixels (``scale_in_pixels``, which ``dialect=`` sets),
    and rounds an anchor's sides when they are scaled, not before.
    Differs from Caffe: nothing known.
    Source: sanghoon/pva-faster-rcnn, synopsys-caffe, happynear/caffe-windows; Ren et al. 2015.
    """

    num_bottoms = 3
    num_tops = (1, 2)
    zero_gradient = (0, 1, 2)
    differentiable = False
    origin = (
        "PVANet (sanghoon/pva-faster-rcnn), "
        "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    )
    reads = {"proposal_param": "*"}

    anchors: Array
    synopsys: bool

    def check(self, scores: Shape, offsets: Shape, sizes: Shape) -> None:
        p = self.param.proposal_param
        ours = [f for f in _SYNOPSYS if p.HasField(f)]
        theirs = [f for f in _PVANET if p.HasField(f)] + [f for f in ("ratio", "scale") if len(getattr(p, f))]
        if ours and theirs:
            raise self.error(
                f"'{ours[0]}' is of Synopsys' layer and '{theirs[0]}' of PVANet's; they cannot be mixed",
                field="proposal_param",
            )
        self.synopsys = not theirs
        if self.synopsys:
            ratios = [0.5, 1.0, 2.0] if p.anchor_ratio == 3 else [1.0]
            scales = [8.0, 16.0, 32.0] if p.anchor_scale == 3 else [32.0]
            self.anchors = anchors_of(p.anchor_base_size, ratios, scales)
        else:
            if not p.ratio or not p.scale:
                raise self.error("ratio and scale must be given", field="ratio" if p.scale else "scale")
            make = _anchors_in_pixels if p.scale_in_pixels else anchors_of
            self.anchors = make(p.base_size, list(p.ratio), list(p.scale))
        count = len(self.anchors)
        if (
            len(scores) != 4
            or scores[1] != 2 * count
            or offsets != (scores[0], 4 * count, *scores[2:])
            or (self.synopsys and scores[0] != 1)
        ):
            raise self.shape_error(
                f"with {count} anchors the bottoms must be N×{2 * count}×H×W scores and"
                f" N×{4 * count}×H×W offsets"
                + (" of one image" if self.synopsys else "")
                + f"; got {list(scores)} and {list(offsets)}"
            )
        values = int(np.prod(sizes))
        if values < 3:
            raise self.shape_error(f"bottom 2 must hold height, width and scale; got shape {list(sizes)}")

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        if self.synopsys:
            return [(1, 1, 1, 5), (1, 1, 1, 1)][: self.top_count]
        count = shapes[0][0] * self.param.proposal_param.post_nms_topn
        return [(count, 5), (count,)][: self.top_count]

    def compute(
        self, scores: torch.Tensor, offsets: torch.Tensor, sizes: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        count, device = len(self.anchors), scores.device
        host_scores = scores.float().cpu().numpy()[:, count:]
        host_offsets = offsets.float().cpu().numpy()
        rows = (
            sizes.float()
            .cpu()
            .numpy()
            .reshape(len(host_scores) if sizes.numel() >= 3 * len(host_scores) else 1, -1)
        )
        stride = self.param.proposal_param.feat_stride
        grid = grid_of(self.anchors, host_scores.shape[2], host_scores.shape[3], stride).transpose(
            2, 0, 1, 3
        )  # A × H × W × 4
        regions, values = [], []
        for n, (score, offset) in enumerate(zip(host_scores, host_offsets)):
            info = rows[min(n, len(rows) - 1)]
            boxes = moved(grid, offset.reshape(count, 4, *offset.shape[1:]).transpose(0, 2, 3, 1))
            boxes = clip(boxes, info[0], info[1])
            kept, value = (self._by_synopsys if self.synopsys else self._by_pvanet)(boxes, score, info)
            regions.append(np.concatenate([np.full((len(kept), 1), n, np.float32), kept], 1))
            values.append(value)
        tops = (torch.from_numpy(np.concatenate(regions)), torch.from_numpy(np.concatenate(values)))
        if self.synopsys:
            tops = (tops[0], tops[1].reshape(-1, 1))
        return tuple(t.to(device) for t in tops[: self.top_count])

    def _by_pvanet(self, boxes: Array, score: Array, info: Array) -> tuple[Array, Array]:
        p = self.param.proposal_param
        # rows, columns, anchors: the order that decides between equal scores
        boxes, score = boxes.transpose(1, 2, 0, 3).reshape(-1, 4), score.transpose(1, 2, 0).reshape(-1)
        scale_h, scale_w = info[2], info[3] if len(info) > 3 else info[2]
        width, height = boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1
        score = score * ((width >= p.min_size * scale_w) & (height >= p.min_size * scale_h))
        order = by_score(score)[: p.pre_nms_topn]
        kept = order[suppress(edges(boxes[order]), p.nms_thresh, most=p.post_nms_topn)]
        return boxes[kept], score[kept]

    def _by_synopsys(self, boxes: Array, score: Array, info: Array) -> tuple[Array, Array]:
        p = self.param.proposal_param
        boxes, score = boxes.reshape(-1, 4), score.reshape(-1)
        least = p.rpn_min_size * info[2]
        size = boxes[:, 2:] - boxes[:, :2] + 1
        large = (size >= least).all(1)
        large[-1] = True
        boxes, score = boxes[large], score[large]
        order = _sorted_in_part(score, p.pre_nms_topn)
        kept = order[suppress(edges(boxes[order]), p.rpn_nms_thresh, most=p.max_rois)]
        return boxes[kept], score[kept]


def _anchors_in_pixels(base: float, ratios: list[float], scales: list[float]) -> Array:
    """caffe-windows' anchors around the cell at the origin: scales are sides of squares, in pixels."""
    centre = (base - 1) / 2
    boxes = []
    for ratio in ratios:
        width = np.sqrt(base * base / ratio)
        for scale in scales:
            # truncated towards zero, as C does
            half_w, half_h = (int(side * scale / base - 0.5) / 2 for side in (width, width * ratio))
            boxes.append([centre - half_w, centre - half_h, centre + half_w, centre + half_h])
    return np.array(boxes, np.float32).reshape(-1, 4)


def _sorted_in_part(score: Array, count: int) -> Array:
    """The ``count`` best, sorted (ties: the later first), then the others in the order C++'s partial_sort
    leaves."""
    pairs = [(float(s), i) for i, s in enumerate(score)]
    best, rest = pairs[:count], pairs[count:]
    heapq.heapify(best)
    rest = [heapq.heapreplace(best, pair) if best and pair > best[0] else pair for pair in rest]
    return np.array([i for _, i in [*sorted(best, reverse=True), *rest]], np.int64)
