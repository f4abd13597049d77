"""FlowWarp."""

from __future__ import annotations

from typing import Any

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

_Fill = caffe_pb2.FlowWarpParameter


class FlowWarp(TensorLayer):
    """Moves an image along a flow: y(r, c) is the bilinear value of x at (r + v, c + u).

    0 (or NaN with ``fill_value: NOT_A_NUMBER``) where that lies outside [0, H) × [0, W); neighbours beyond
    the last row or column are the last. The flow's gradient uses the distances to the clamped neighbours.

    bottom: x (N × C × H × W); the flow (N × 2 × H × W: u, v in pixels). top: y of x's shape.
    Differs from Caffe: nothing known. Source: lmb-freiburg/flownet2, synopsys-caffe.
    """

    num_bottoms = 2
    origin = "FlowNet 2 (lmb-freiburg/flownet2)"
    reads = {"flow_warp_param": "*"}

    def check(self, x: Shape, flow: Shape) -> None:
        if len(x) != 4 or flow != (x[0], 2, *x[2:]):
            raise self.shape_error(
                f"the bottoms must be N×C×H×W and N×2×H×W; got shapes {list(x)} and {list(flow)}"
            )

    def compute(self, x: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        fill = float("nan") if self.param.flow_warp_param.fill_value == _Fill.NOT_A_NUMBER else 0.0
        warped: torch.Tensor = _Warp.apply(x, flow, fill)  # type: ignore[no-untyped-call]
        return warped


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, flow: torch.Tensor, fill: float) -> torch.Tensor:
        ctx.save_for_backward(x, flow)
        inside, places, (right, down) = _places(flow)
        upper_left, upper_right, lower_left, lower_right = _corners(x, places)
        value = (1 - right) * (1 - down) * upper_left + right * (1 - down) * upper_right
        value = value + (1 - right) * down * lower_left + right * down * lower_right
        return torch.where(inside, value, torch.full_like(value, fill)).reshape(x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, flow = ctx.saved_tensors
        inside, places, (right, down) = _places(flow)
        grad = torch.where(inside, grads[0].flatten(2), torch.zeros((), dtype=x.dtype, device=x.device))
        weights = ((1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down)
        to_x = torch.zeros_like(x.flatten(2))
        for place, weight in zip(places[:4], weights):
            to_x.scatter_add_(2, place.expand_as(grad), grad * weight)
        upper_left, upper_right, lower_left, lower_right = _corners(x, places)
        near_row, near_col = places[4:]  # distances to the clamped row below and column to the right
        along_u = near_row * (upper_right - upper_left) + (1 - near_row) * (lower_right - lower_left)
        along_v = near_col * (lower_left - upper_left) + (1 - near_col) * (lower_right - upper_right)
        to_flow = torch.stack([(grad * along_u).sum(1), (grad * along_v).sum(1)], 1)
        return to_x.reshape(x.shape), to_flow.reshape(flow.shape), None


def _places(
    flow: torch.Tensor,
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], tuple[torch.Tensor, torch.Tensor]]:
    """Which targets lie inside; the flat places of their four neighbours and the distances to the clamped
    ones; the parts of a pixel to the right and down. All N × 1 × H·W."""
    height, width = flow.shape[2:]
    col = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, :1]
    row = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1:]
    col, row = col.flatten(2), row.flatten(2)
    inside = (col >= 0) & (row >= 0) & (col < width) & (row < height)
    col, row = (torch.where(inside, x, torch.zeros_like(x)) for x in (col, row))
    left, top = col.floor(), row.floor()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    flat = [(r * width + c).long() for r in (top, bottom) for c in (left, right)]
    return inside, (*flat, bottom - row, right - col), (col - left, row - top)


def _corners(x: torch.Tensor, places: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    flat = x.flatten(2)
    return [flat.gather(2, place.expand(-1, x.shape[1], -1)) for place in places[:4]]
