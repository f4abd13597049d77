"""RPNProposalTarget: py-faster-rcnn's ``rpn.proposal_target_layer.ProposalTargetLayer``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe import runtime
from caffe.blob import Shape
from caffe.boxes import edges, overlaps
from caffe.layers.detection._anchors import offsets_of
from caffe.layers.detection._rpn import read_settings
from caffe.tensor_layer import TensorLayer


class RPNProposalTarget(TensorLayer):
    """Draws regions to train a detector on and says what they should become. No gradient.

    The boxes are added to the regions; foreground overlap a box by fg_thresh or more, background by
    bg_thresh_lo to bg_thresh_hi. Of batch_size regions at most the share fg_fraction is foreground. Offsets
    are normalized by bbox_normalize_means and bbox_normalize_stds.

    Also what ``type: "Python"`` with module ``rpn.proposal_target_layer`` gives, where that module is not
    on the path. ``param_str`` has 'num_classes'.

    bottom: regions (R × 5: image, x1, y1, x2, y2); boxes (G × 5: x1, y1, x2, y2, label).
    top: regions (S × 5); labels (S × 1 × 1 × 1); targets, inside and outside weights (S ×
    4·num_classes × 1 × 1 each).
    Differs from Caffe: other random numbers; where nothing qualifies, the regions that overlap least are
    background; batch_size -1 takes all, as for online hard example mining.
    Source: rbgirshick/py-faster-rcnn; Ren et al. 2015.
    """

    num_bottoms = 2
    num_tops = 5
    zero_gradient = (0, 1)
    differentiable = False
    origin = "Faster R-CNN (rbgirshick/py-faster-rcnn)"
    reads = {"python_param": "param_str"}

    def check(self, rois: Shape, boxes: Shape) -> None:
        self.settings = read_settings(self, "num_classes")
        if len(rois) < 2 or rois[-1] != 5 or len(boxes) < 2 or boxes[1] != 5:
            raise self.shape_error(
                f"the bottoms must be R×5 regions and G×5 boxes; got shapes {list(rois)} and {list(boxes)}"
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        columns = 4 * self.settings["num_classes"]
        return [(1, 5), *((1, size, 1, 1) for size in (1, columns, columns, columns))]

    @property
    def draws(self) -> bool:
        return True

    def compute(self, rois: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        s, rng = self.settings, runtime.rng()
        truth = boxes.float().cpu().numpy().reshape(-1, 5)
        regions = rois.float().cpu().numpy().reshape(-1, 5)
        regions = np.concatenate(
            [regions, np.concatenate([np.zeros((len(truth), 1), np.float32), truth[:, :4]], 1)]
        )
        overlap = (
            overlaps(edges(regions[:, 1:]), edges(truth[:, :4]))
            if len(truth)
            else np.zeros((len(regions), 1), np.float32)
        )
        match, best = overlap.argmax(1), overlap.max(1)
        front = np.flatnonzero(best >= s["fg_thresh"])
        back = np.flatnonzero((best < s["bg_thresh_hi"]) & (best >= s["bg_thresh_lo"]))
        if s["batch_size"] != -1:
            front = rng.permutation(front)[: round(s["fg_fraction"] * s["batch_size"])]
            back = rng.permutation(back)[: s["batch_size"] - len(front)]
        if not len(front) and not len(back):
            back = np.argsort(best, kind="stable")[:1]
        chosen, count = np.concatenate([front, back]), len(front)
        label = np.zeros((len(chosen), 1), np.float32)
        targets = np.zeros((len(chosen), 4 * s["num_classes"]), np.float32)
        within = np.zeros_like(targets)
        if count:
            own = truth[match[front]]
            label[:count, 0] = own[:, 4]
            offsets = offsets_of(regions[front, 1:], own[:, :4])
            offsets = (offsets - np.array(s["bbox_normalize_means"])) / np.array(s["bbox_normalize_stds"])
            # nets that share offsets among classes have two groups: background and all others
            place = np.minimum(own[:, 4], s["num_classes"] - 1).astype(int)
            column = 4 * place[:, None] + np.arange(4)
            targets[np.arange(count)[:, None], column] = offsets
            within[np.arange(count)[:, None], column] = s["bbox_inside_weights"]
        tops = (regions[chosen], label, targets, within, (within > 0).astype(np.float32))
        tensors = [torch.from_numpy(t.astype(np.float32)).to(rois.device) for t in tops]
        return (tensors[0], *(t[:, :, None, None] for t in tensors[1:]))


ProposalTargetLayer = RPNProposalTarget
