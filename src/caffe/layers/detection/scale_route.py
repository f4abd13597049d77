"""ScaleRoute."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class ScaleRoute(TensorLayer):
    """Takes the regions whose scale, the root of their area, is in [low_scale, high_scale); if none is, the
    one that is nearest. No gradient.

    bottom: regions (R × 5: image, x1, y1, x2, y2); others of R rows. top: the rows of the regions taken.
    Differs from Caffe: nothing known. Source: zhaoweicai/cascade-rcnn (feature pyramids).
    """

    num_bottoms = (1, None)
    num_tops = (1, None)
    equal_counts = True
    differentiable = False
    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"
    reads = {"scale_route_param": "*"}

    def check(self, *shapes: Shape) -> None:
        p = self.param.scale_route_param
        if p.HasField("low_scale") and p.HasField("high_scale") and not 0 < p.low_scale <= p.high_scale:
            raise self.error(f"must be in (0, {p.high_scale:g}]; got {p.low_scale:g}", field="low_scale")
        if any(not s or s[0] != shapes[0][0] for s in shapes) or math.prod(shapes[0][1:]) != 5:
            raise self.shape_error(
                "the bottoms must be R×5 regions and others of R rows; got shapes "
                + ", ".join(str(list(s)) for s in shapes)
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [(1, *shape[1:]) for shape in shapes]

    def compute(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        p = self.param.scale_route_param
        boxes = bottoms[0].reshape(-1, 5)[:, 1:]
        scale = (boxes[:, 2:] - boxes[:, :2] + 1).clamp(min=0).prod(1).sqrt()
        low = p.low_scale if p.HasField("low_scale") else 0.0
        high = p.high_scale if p.HasField("high_scale") else math.inf
        middle = (
            math.sqrt(low * high) if low and high < math.inf else low or (high if high < math.inf else 256.0)
        )
        taken = ((scale >= low) & (scale < high)).nonzero().reshape(-1)
        if not len(taken):
            taken = (scale / middle).log2().abs().argmin().reshape(1)
        return tuple(x.index_select(0, taken) for x in bottoms)
