"""SmoothL1LossOHEM."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.loss._loss_layer import LossLayer


class SmoothL1LossOHEM(LossLayer):
    """Smooth L1 loss that also says each region's loss, for hard example mining: L = Σ f(w·(a - b)) / Z.

    f(d) = d²/2 for |d| < 1, else |d| - ½. Z is N·H·W for FULL and VALID (the default), N for BATCH_SIZE,
    pre_fixed_normalizer for PRE_FIXED, 1 for NONE. The gradient of a is f'(w·(a - b)) / Z: the weight is not
    applied again. Unlike other losses it has no loss weight by itself: without ``loss_weight`` it is inert.

    bottom: a, b (N × C × H × W) and optionally weights w of that shape. top: L (scalar); optionally each
    position's loss, summed over channels (N × 1 × H × W), without gradient.
    Differs from Caffe: nothing known. Source: daijifeng001/caffe-rfcn; Dai et al. 2016.
    """

    num_bottoms = (2, 3)
    num_tops = (1, 2)
    is_loss = False
    no_gradient = ()
    zero_gradient = (2,)
    origin = "R-FCN (daijifeng001/caffe-rfcn)"
    reads = {"loss_param": "* pre_fixed_normalizer"}

    def check(self, a: Shape, b: Shape, w: Shape | None = None) -> None:
        full = (*a, 1, 1)[: max(len(a), 4)]
        others = [b] if w is None else [b, w]
        if len(a) < 2 or any((*s, 1, 1)[: max(len(s), 4)] != full for s in others):
            shapes = ", ".join(str(list(s)) for s in (a, b, w) if s is not None)
            raise self.shape_error(f"the bottoms must have one shape of at least 2 axes; got {shapes}")

    def compute(
        self, a: torch.Tensor, b: torch.Tensor, w: torch.Tensor | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        difference = a - b.reshape(a.shape)
        if w is not None:
            # the value is weighted, its derivative is not
            difference = (difference * w.reshape(a.shape)).detach() + difference - difference.detach()
        each = F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none")
        loss = each.sum() / self.divisor(self.mode(), a.shape[0], a[0, 0].numel() if a.numel() else 1, None)
        return loss if self.top_count == 1 else (loss, each.detach().sum(1, keepdim=True))
