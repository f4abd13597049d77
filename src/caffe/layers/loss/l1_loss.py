"""L1Loss."""

from __future__ import annotations

from typing import Any

import torch

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class L1Loss(LossLayer):
    """Sum of absolute differences; NVIDIA and FlowNet have two layers of this name.

    Plain (NVIDIA): L = Σ |a - b| / N.
    FlowNet: with d = a - b (or a alone), positions where d is NaN left out: L = Σ |d| / Z, or with
    ``l2_per_location`` L = Σ √(Σ_c d² + epsilon) / Z over positions, where sums of squares up to plateau²
    count 0; ``l2_prescale_by_channels`` divides the sum over channels by their number. Z is N, or the
    number of values that are no NaN (positions where l2_per_location) with ``normalize_by_num_entries``.

    bottom: a (N × C × H × W); b of that shape, optional. top: L (scalar).
    Differs from Caffe: nothing known. Source: NVIDIA/caffe; lmb-freiburg/flownet2, Ilg et al. 2017.
    """

    num_bottoms = (1, 2)
    no_gradient = ()
    origin = "NVIDIA/caffe, FlowNet 2 (lmb-freiburg/flownet2)"
    reads = {"l1_loss_param": "*"}

    def check(self, a: Shape, b: Shape | None = None) -> None:
        if not a or (b is not None and a != b):
            raise self.shape_error(f"the bottoms must have one shape; got {list(a)} and {list(b or ())}")
        if self.param.l1_loss_param.l2_per_location and len(a) < 2:
            raise self.shape_error(f"l2_per_location needs an axis of channels; got shape {list(a)}")

    def compute(self, a: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
        p: Any = self.param.l1_loss_param
        difference = a if b is None else a - b
        known = ~difference.isnan()
        difference = torch.where(known, difference, torch.zeros_like(difference))
        if p.l2_per_location:
            squared = difference.square().sum(1)
            if p.l2_prescale_by_channels:
                squared = squared / a.shape[1]
            each = torch.sqrt(squared + p.epsilon)
            if p.plateau > 0:
                each = each * (squared > p.plateau**2)
            known = known.any(1)
            each = each * known
        else:
            each = difference.abs()
        count = known.sum().clamp(min=1) if p.normalize_by_num_entries else max(a.shape[0], 1)
        return each.sum() / count
