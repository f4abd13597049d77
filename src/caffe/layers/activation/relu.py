"""ReLU."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class ReLU(TensorLayer):
    """Rectified linear unit: y = x for x > 0, else negative_slope · x.

    Synopsys' fields bound it: ``relu6`` by 6 and ``maximum`` (where above 0) from above, ``minimum`` (where
    not 0) from below; NaN becomes 0 then. Beyond the bounds there is no gradient.

    bottom: x of any shape; optionally one value that replaces ``maximum`` (Synopsys). top: y of x's shape.
    Differs from Caffe: nothing known. Source: BVLC ``ReLU``; Nair & Hinton 2010; synopsys-caffe.
    """

    keeps_shape = True
    num_bottoms = (1, 2)
    no_gradient = (1,)
    reads = {"relu_param": "* relu6 maximum minimum"}

    plain: bool
    """Whether it is max(x, 0) and nothing else."""

    def check(self, *shapes: Shape) -> None:
        p = self.param.relu_param
        self.plain = not (p.negative_slope or p.relu6 or p.maximum > 0 or p.minimum or len(shapes) > 1)

    def compute(self, x: torch.Tensor, maximum: torch.Tensor | None = None) -> torch.Tensor:
        p = self.param.relu_param
        slope = p.negative_slope
        y = F.leaky_relu(x, slope) if slope else F.relu(x)
        if maximum is None and not (p.relu6 or p.maximum > 0 or p.minimum):
            return y
        y = torch.where(x.isnan(), torch.zeros_like(y), y)
        if p.relu6:
            y = torch.where(x < 6, y, y.detach().clamp(max=6))
        if maximum is not None:
            limit = maximum.reshape(-1)[:1]
            y = torch.where((x < limit) | (limit <= 0), y, torch.minimum(y.detach(), limit))
        elif p.maximum > 0:
            y = torch.where(x < p.maximum, y, y.detach().clamp(max=p.maximum))
        if p.minimum:
            y = torch.where(x > p.minimum, y, y.detach().clamp(min=p.minimum))
        return y
