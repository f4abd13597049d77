"""TripletLoss."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class TripletLoss(LossLayer):
    """Brings an anchor nearer to a like than to an unlike sample: L = Σ max(0, margin + |a-p|² - |a-n|²) /
    (2 N).

    bottom: anchors a, likes p, unlikes n, each N × C (× 1 × 1). top: L (scalar).
    Differs from Caffe: nothing known. Source: happynear/caffe-windows; Schroff et al. 2015.
    """

    num_bottoms = 3
    no_gradient = ()
    origin = "caffe-windows (happynear/caffe-windows)"
    reads = {"triplet_loss_param": "*"}

    def check(self, *shapes: Shape) -> None:
        if len(set(shapes)) != 1 or len(shapes[0]) < 2:
            raise self.shape_error(
                f"the bottoms must have one shape N × C; got {', '.join(str(list(s)) for s in shapes)}"
            )

    def compute(self, anchor: torch.Tensor, like: torch.Tensor, unlike: torch.Tensor) -> torch.Tensor:
        near = (anchor - like).square().flatten(1).sum(1)
        far = (anchor - unlike).square().flatten(1).sum(1)
        hinge = torch.relu(self.param.triplet_loss_param.margin + near - far)
        return hinge.sum() / (2 * max(anchor.shape[0], 1))
