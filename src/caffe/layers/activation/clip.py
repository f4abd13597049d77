"""Clip."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Clip(TensorLayer):
    """Limits values: y = max(min, min(x, max)). The gradient passes where min ≤ x ≤ max, both included.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: min above max is an error. Source: BVLC ``Clip``.
    """

    reads = {"clip_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.clip_param
        for field in ("min", "max"):
            if not p.HasField(field):
                raise self.error("must be given", field=field, fix="Write clip_param { min: … max: … }")
        if p.min > p.max:
            raise self.error(f"must be at most max = {p.max:g}; got {p.min:g}", field="min")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.clip_param
        return x.clamp(p.min, p.max)
