"""Downsample."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Downsample(TensorLayer):
    """Shrinks a map by weighted means: each output takes the inputs whose centres lie within one output
    pixel of it.

    With s = (in - 1)/(out - 1), an output at i·s takes inputs nearer than s with the weight 1 - distance/s,
    values that are NaN left out (NaN where nothing is left). No gradient.

    bottom: x (N × C × H × W); optionally a blob of the wanted height and width.
    top: N × C × top_height × top_width. A top of x's size is x itself.
    Differs from Caffe: nothing known. Source: lmb-freiburg/flownet2.
    """

    num_bottoms = (1, 2)
    no_gradient = (0, 1)
    differentiable = False
    origin = "FlowNet 2 (lmb-freiburg/flownet2)"
    reads = {"downsample_param": "*"}

    def check(self, x: Shape, like: Shape | None = None) -> None:
        p = self.param.downsample_param
        if len(x) != 4 or (like is not None and len(like) != 4):
            raise self.shape_error(f"the bottoms must have 4 axes; got shapes {list(x)}, {list(like or ())}")
        height, width = (p.top_height, p.top_width) if like is None else like[2:]
        if not (1 <= height <= x[2] and 1 <= width <= x[3]):
            raise self.error(
                f"the top must be at least 1×1 and no larger than the bottom, {x[2]}×{x[3]}; got"
                f" {height}×{width}",
                field="top_height",
            )

    def compute(self, x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        p = self.param.downsample_param
        height, width = (p.top_height, p.top_width) if like is None else like.shape[2:]
        if (height, width) == tuple(x.shape[2:]):
            return x.clone()
        down, across = _weights(x.shape[2], height, x), _weights(x.shape[3], width, x)
        known = ~x.isnan()
        total = torch.einsum("rh,nchw,sw->ncrs", down, torch.where(known, x, torch.zeros_like(x)), across)
        return total / torch.einsum("rh,nchw,sw->ncrs", down, known.to(x.dtype), across)


def _weights(size: int, into: int, like: torch.Tensor) -> torch.Tensor:
    step = (size - 1) / (into - 1) if into > 1 else float(size)
    centre = torch.arange(into, device=like.device, dtype=like.dtype)[:, None] * step
    if into == 1:
        centre = centre + (size - 1) / 2
    distance = (torch.arange(size, device=like.device, dtype=like.dtype) - centre).abs()
    return (1 - distance / max(step, 1.0)).clamp(min=0)
