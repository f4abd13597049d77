"""RPNProposal: py-faster-rcnn's ``rpn.proposal_layer.ProposalLayer``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import by_score, edges, suppress
from caffe.layers.detection._anchors import anchors_of, clip, grid_of, moved
from caffe.layers.detection._rpn import read_settings
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class RPNProposal(TensorLayer):
    """Regions from a region proposal network's scores and offsets: decoded anchors, cut at the borders, at
    least rpn_min_size large in the unscaled image; the rpn_pre_nms_top_n best go through non-maximum
    suppression, rpn_post_nms_top_n are kept. No gradient.

    Also what ``type: "Python"`` with module ``rpn.proposal_layer`` gives, where that module is not on the
    path. ``param_str`` has 'feat_stride', and may have 'scales', 'ratios' and the settings of
    py-faster-rcnn's configuration in lower case ('rpn_nms_thresh': 0.7); their defaults are those of its
    end-to-end nets.

    bottom: scores (1 × 2A × H × W, the second half foreground); offsets (1 × 4A × H × W); image (1 × 3:
    height, width, scale). top: regions (R × 5: 0, x1, y1, x2, y2); optionally their scores (R × 1).
    Differs from Caffe: nothing known. Source: rbgirshick/py-faster-rcnn; Ren et al. 2015.
    """

    num_bottoms = 3
    num_tops = (1, 2)
    zero_gradient = (0, 1, 2)
    differentiable = False
    origin = "Faster R-CNN (rbgirshick/py-faster-rcnn)"
    reads = {"python_param": "param_str"}

    def check(self, scores: Shape, offsets: Shape, info: Shape) -> None:
        self.settings = read_settings(self, "feat_stride")
        self.anchors = anchors_of(16, list(self.settings["ratios"]), list(self.settings["scales"]))
        count = len(self.anchors)
        if len(scores) != 4 or scores[:2] != (1, 2 * count) or offsets != (1, 4 * count, *scores[2:]):
            raise self.shape_error(
                f"with {count} anchors the bottoms must be 1×{2 * count}×H×W scores and"
                f" 1×{4 * count}×H×W offsets of"
                f" one image; got shapes {list(scores)} and {list(offsets)}"
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [(1, 5), (1, 1, 1, 1)][: self.top_count]

    def compute(
        self, scores: torch.Tensor, offsets: torch.Tensor, info: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        s, test = self.settings, self.phase == caffe_pb2.TEST
        before, after, threshold, least = (
            s[key][test] if isinstance(s[key], tuple) else s[key]
            for key in ("rpn_pre_nms_top_n", "rpn_post_nms_top_n", "rpn_nms_thresh", "rpn_min_size")
        )
        count, height, width = len(self.anchors), scores.shape[2], scores.shape[3]
        size = info.float().cpu().reshape(-1).tolist()
        score = scores[0, count:].permute(1, 2, 0).reshape(-1).float().cpu().numpy()
        moves = offsets[0].permute(1, 2, 0).reshape(-1, 4).float().cpu().numpy()
        grid = grid_of(self.anchors, height, width, s["feat_stride"]).reshape(-1, 4)
        boxes = clip(moved(grid, moves), size[0], size[1])
        large = (boxes[:, 2:] - boxes[:, :2] + 1 >= least * size[2]).all(1)
        boxes, score = boxes[large], score[large]
        order = by_score(score)
        order = order[:before] if before > 0 else order
        kept = order[suppress(edges(boxes[order]), threshold, most=after if after > 0 else None)]
        rows = np.concatenate([np.zeros((len(kept), 1), np.float32), boxes[kept]], 1)
        tops = (torch.from_numpy(rows), torch.from_numpy(score[kept]).reshape(-1, 1))
        return tuple(t.to(scores.device) for t in tops[: self.top_count])


ProposalLayer = RPNProposal
