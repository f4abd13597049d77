"""BoxAnnotatorOHEM."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class BoxAnnotatorOHEM(TensorLayer):
    """Online hard example mining: keeps each image's roi_per_img regions of largest loss; the others get the
    label ``ignore_label`` and weights 0.

    bottom: regions (R × 5 [× H × W], 0 of axis 1 the image); their losses; labels; box weights (R × C
    [× H × W]). top: labels (R × 1 × H × W); weights (R × C × H × W). Each position counts for itself. No
    gradient.
    Differs from Caffe: nothing known. Source: daijifeng001/caffe-rfcn; Shrivastava et al. 2016.
    """

    num_bottoms = 4
    num_tops = 2
    no_gradient = (0, 1, 2, 3)
    differentiable = False
    origin = "R-FCN (daijifeng001/caffe-rfcn)"
    reads = {"box_annotator_ohem_param": "*"}

    def check(self, rois: Shape, loss: Shape, labels: Shape, weights: Shape) -> None:
        if self.param.box_annotator_ohem_param.roi_per_img < 1:
            raise self.error("must be given and at least 1; got 0", field="roi_per_img")
        if not rois or len({rois[0], *(s[0] if s else 0 for s in (loss, labels, weights))}) != 1:
            raise self.shape_error(
                "all bottoms must have as many rows as there are regions; got shapes"
                f" {list(rois)}, {list(loss)}, {list(labels)}, {list(weights)}"
            )
        if math.prod(rois[1:]) != 5 * math.prod(rois[2:4]) or any(
            math.prod(s) % max(math.prod((s[0], *rois[2:4])), 1) for s in (loss, labels, weights)
        ):
            raise self.shape_error(
                "the regions must be R×5 or R×5×H×W and the other bottoms R×…×H×W; got shapes"
                f" {list(rois)}, {list(loss)}, {list(labels)}, {list(weights)}"
            )

    def compute(
        self, rois: torch.Tensor, loss: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        p = self.param.box_annotator_ohem_param
        height, width = (*rois.shape[2:], 1, 1)[:2]
        labels, weights = (x.reshape(x.shape[0], -1, height, width) for x in (labels, weights))
        if rois.is_meta:
            return torch.empty_like(labels), torch.empty_like(weights)
        positions = (rois.shape[0], -1, height * width)
        order = loss.reshape(positions).sum(1).flatten().argsort(descending=True, stable=True)
        image = rois.reshape(positions)[:, 0].flatten().long()[order]
        rows = image.shape[0]
        by_image = image.argsort(stable=True)
        sorted_image = image[by_image]
        rank = torch.empty_like(image)
        place = torch.arange(rows, device=rois.device)
        rank[by_image] = place - torch.searchsorted(sorted_image, sorted_image)
        kept = torch.zeros(rows, dtype=torch.bool, device=rois.device)
        kept[order] = rank < p.roi_per_img
        kept = kept.reshape(-1, 1, height, width)
        ignored = torch.full_like(labels, p.ignore_label)
        return torch.where(kept, labels, ignored), weights * kept.to(weights.dtype)
