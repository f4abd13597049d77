"""BoxAnnotatorOHEM."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class BoxAnnotatorOHEM(TensorLayer):
    """Online hard example mining: keeps each image's roi_per_img regions of largest loss; the others get the
    label ``ignore_label`` and weights 0.

    bottom: regions (R × 5, column 0 the image); their losses (R values); labels (R values); box weights
    (R × …). top: labels; weights. No gradient.
    Differs from Caffe: nothing known. Source: daijifeng001/caffe-rfcn; Shrivastava et al. 2016.
    """

    num_bottoms = 4
    num_tops = 2
    no_gradient = (0, 1, 2, 3)
    differentiable = False
    origin = "daijifeng001/caffe-rfcn"

    def check(self, rois: Shape, loss: Shape, labels: Shape, weights: Shape) -> None:
        if self.param.box_annotator_ohem_param.roi_per_img < 1:
            raise self.error("must be given and at least 1; got 0", field="roi_per_img")
        if not rois or len({rois[0], *(s[0] if s else 0 for s in (loss, labels, weights))}) != 1:
            raise self.shape_error(
                "all bottoms must have as many rows as there are regions; got shapes"
                f" {list(rois)}, {list(loss)}, {list(labels)}, {list(weights)}"
            )

    def compute(
        self, rois: torch.Tensor, loss: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        p = self.param.box_annotator_ohem_param
        if rois.is_meta:
            return torch.empty_like(labels), torch.empty_like(weights)
        rows = rois.shape[0]
        # the loss of a region with several positions is their sum
        order = loss.reshape(rows, -1).sum(1).argsort(descending=True, stable=True)
        image = rois.reshape(rows, -1)[:, 0].long()[order]
        by_image = image.argsort(stable=True)
        sorted_image = image[by_image]
        rank = torch.empty_like(image)
        place = torch.arange(rows, device=rois.device)
        rank[by_image] = place - torch.searchsorted(sorted_image, sorted_image)
        kept = torch.zeros(rows, dtype=torch.bool, device=rois.device)
        kept[order] = rank < p.roi_per_img
        keep_labels = kept.reshape(-1, *[1] * (labels.dim() - 1))
        keep_weights = kept.reshape(-1, *[1] * (weights.dim() - 1))
        ignored = torch.full_like(labels, p.ignore_label)
        return torch.where(keep_labels, labels, ignored), weights * keep_weights.to(weights.dtype)
