"""SmoothL1Loss."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class SmoothL1Loss(TensorLayer):
    """Quadratic near zero, linear beyond: L = Σ w_out · f(w_in · (a - b)) / N, with
    f(d) = ½ σ² d² for \\|d| < 1/σ², else \\|d| - ½/σ².

    With ``abssum`` (the default; SSD, Synopsys, jolibrain) absolute values are summed, and the gradient lacks
    the second factor w_in; ``abssum: false`` is Fast R-CNN's layer, where it is there. For weights w_in of 0
    and 1, which are all that anybody uses, both are the same. ``outside: false`` (jolibrain, set by ``dialect=``)
    leaves w_out unused. ``smoothl1_param`` (caffe-windows) has a turn point t: f(d) = ½ d² for \\|d| < t, else
    \\|d| - t + ½ t²; its gradient lacks w_in, too, and is d or ±1 whatever t is.

    bottom: a (N × …), b, [w_in], [w_out], all of a's shape. top: L, a single number; optionally (cascade-rcnn) each
    place's loss, summed over channels (N × 1 × H × W), without gradient.
    Differs from Caffe: nothing known.
    Source: rbgirshick/caffe-fast-rcnn, weiliu89/caffe (SSD), zhaoweicai/cascade-rcnn, Synopsys, jolibrain/caffe,
    happynear/caffe-windows ``SmoothL1Loss``; Girshick 2015.
    """

    origin = "Fast R-CNN (rbgirshick/caffe-fast-rcnn), SSD (weiliu89/caffe)"
    reads = {"smooth_l1_loss_param": "*", "smoothl1_param": "*"}
    num_bottoms = (2, 4)
    num_tops = (1, 2)
    is_loss = True
    auto_tops = True
    zero_gradient = (2, 3)
    in_place = False

    def check(self, a: Shape, *others: Shape) -> None:
        p = self.param
        if p.HasField("smooth_l1_loss_param") and p.HasField("smoothl1_param"):
            raise self.error("and smooth_l1_loss_param belong to different forks", field="smoothl1_param")
        for message, field in ((p.smooth_l1_loss_param, "turn_point"), (p.smoothl1_param, "sigma")):
            if message.HasField(field):
                raise self.error("is a field of another fork's message", field=field)
        if p.smooth_l1_loss_param.sigma <= 0:
            raise self.error(f"must be above 0; got {p.smooth_l1_loss_param.sigma:g}", field="sigma")
        if p.smoothl1_param.turn_point <= 0:
            raise self.error(f"must be above 0; got {p.smoothl1_param.turn_point:g}", field="turn_point")
        if not a:
            raise self.shape_error("bottom 0 must have at least 1 axis; got a single number")
        if self.top_count > 1 and len(a) < 2:
            raise self.shape_error(f"bottom 0 must have at least 2 axes; got shape {list(a)}")
        for i, other in enumerate(others, 1):
            if other != a and (len(other) < 1 or other[0] != a[0] or _count(other) != _count(a)):
                raise self.shape_error(f"bottom {i} must have bottom 0's shape {list(a)}; got {list(other)}")

    def compute(
        self,
        a: torch.Tensor,
        b: torch.Tensor,
        inside: torch.Tensor | None = None,
        outside: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        p = self.param.smooth_l1_loss_param
        if not p.outside:
            outside = None
        d = a - b.reshape(a.shape)
        if inside is not None:
            weighted = inside.reshape(a.shape) * d
            d = d + (weighted - d).detach() if p.abssum else weighted  # the value only, or the gradient too
        size = d.abs()
        if self.param.HasField("smoothl1_param"):
            turn = self.param.smoothl1_param.turn_point
            errors = torch.where(size < turn, d * d / 2, size - turn + turn * turn / 2)
        else:
            beta = 1 / p.sigma**2
            errors = torch.where(size < beta, d * d * (0.5 / beta), size - 0.5 * beta)
        if outside is not None:
            errors = errors * outside.reshape(a.shape)
        total = errors.sum()
        if outside is not None and p.abssum:
            total = total + (errors.abs().sum() - total).detach()
        loss = total / a.shape[0]
        if self.top_count == 1:
            return loss
        each = errors.detach().sum(1, keepdim=True)
        return loss, each.reshape(*each.shape, *(1,) * (4 - a.dim()))


def _count(shape: Shape) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
