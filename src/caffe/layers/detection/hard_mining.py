"""HardMining."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class HardMining(TensorLayer):
    """Takes each image's num_roi_per_image regions of highest score, filled up with the best of the others to
    num_image · num_roi_per_image, in their order. No gradient.

    bottom: scores (R values); regions (R × 5, column 0 the image); others of R rows.
    top: the rows taken, of all bottoms but the first.
    Differs from Caffe: nothing known. Source: zhaoweicai/cascade-rcnn.
    """

    num_bottoms = (2, None)
    num_tops = (1, None)
    differentiable = False
    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"
    reads = {"hard_mining_param": "*"}

    def check(self, *shapes: Shape) -> None:
        p = self.param.hard_mining_param
        for field in ("num_image", "num_roi_per_image"):
            if getattr(p, field) < 1:
                raise self.error(f"must be given and at least 1; got {getattr(p, field)}", field=field)
        if self.top_count != len(shapes) - 1 or any(not s or s[0] != shapes[0][0] for s in shapes):
            raise self.shape_error(
                f"there must be a top for each bottom but the first, all of as many rows; got"
                f" {self.top_count} tops"
                f" for shapes {', '.join(str(list(s)) for s in shapes)}"
            )

    def compute(
        self, score: torch.Tensor, rois: torch.Tensor, *others: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        p = self.param.hard_mining_param
        rows = rois.shape[0]
        count = min(p.num_image * p.num_roi_per_image, rows)
        if rois.is_meta:
            return tuple(x.new_empty(count, *x.shape[1:]) for x in (rois, *others))
        order = score.reshape(-1).argsort(descending=True, stable=True)
        image = rois.reshape(rows, -1)[order, 0].long()
        # a region's rank among those of its image
        same = image[:, None] == image
        rank = (
            same & (torch.arange(rows, device=rois.device) < torch.arange(rows, device=rois.device)[:, None])
        ).sum(1)
        first = (rank >= p.num_roi_per_image).to(torch.uint8).argsort(stable=True)[:count]
        taken = order[first].sort().values
        return tuple(x.index_select(0, taken) for x in (rois, *others))
