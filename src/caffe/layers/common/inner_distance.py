"""InnerDistance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from caffe import runtime
from caffe.blob import Blob, Shape
from caffe.layer import Keep
from caffe.tensor_layer import BlobSpec, TensorLayer


class InnerDistance(TensorLayer):
    """Distances from learned points: y_n = Σ_k (x_k - W_nk)², or Σ_k |x_k - W_nk| with ``distance_type: "L1"``.

    The axes of x from ``axis`` on are one vector of K values. With ``normalize`` every forward first makes the
    points of length 1: W_n / √(|W_n|² + 1e-6). ``bias_term`` is not used, as in the original.

    As in the original, the gradient of L1 is ∂y·[d > 0] - [d < 0] for a difference d: where it is below 0 the
    top's gradient is not asked. With ``update_center_only`` only the point of its label gets an item's gradient.

    bottom: x (d₀ × … × d_axis × …); optionally the points (n × K), in place of learned ones, which are then not
    normalized; with ``update_center_only`` then the labels (without gradient). top: y (d₀ × … × n).
    blobs: the points (num_output × K); none with points as a bottom.
    Differs from Caffe: what the fork mixes up is an error: ``transpose``, and labels without points as a bottom.
    Source: happynear/caffe-windows ``InnerDistance``.
    """

    num_bottoms = (1, 3)
    no_gradient = (2,)
    in_place = False
    origin = "caffe-windows (happynear/caffe-windows)"
    reads = {"inner_distance_param": "*"}

    def check(self, x: Shape, *given: Shape) -> None:
        p = self.param.inner_distance_param
        inputs = math.prod(x[self.axis(p.axis, x) :])
        if p.distance_type not in ("L1", "L2"):
            raise self.error(f'must be "L2" or "L1"; got "{p.distance_type}"', field="distance_type")
        if p.transpose:
            raise self.error("must be false: points are rows; got true", field="transpose")
        if len(given) == 2 and not p.update_center_only:
            raise self.error("must have 1 bottom, or 2 with points; 3 only with update_center_only; got 3")
        if len(given) < 2 and p.update_center_only:
            raise self.error(
                f"must have 3 bottoms with update_center_only: x, points, labels; got {1 + len(given)}"
            )
        if p.update_center_only and math.prod(given[-1]) != math.prod(x[: self.axis(p.axis, x)]):
            raise self.shape_error(
                f"there must be a label for each item; got {list(x)} and {list(given[-1])}"
            )
        if not given and p.num_output < 1:
            raise self.error(f"must be at least 1; got {p.num_output}", field="num_output")
        points = given[0] if given else self.blobs[0].shape if len(self.blobs) else (p.num_output, inputs)
        count = points[0] if given and points else p.num_output
        if points[:1] != (count,) or math.prod(points) != count * inputs:
            raise self.shape_error(
                f"the points must be {count}×{inputs} for a bottom of shape {list(x)}; got {list(points)}"
            )

    def declare(self, x: Shape, *given: Shape) -> list[BlobSpec]:
        p = self.param.inner_distance_param
        if given:
            return []
        return [BlobSpec((p.num_output, math.prod(x[self.axis(p.axis, x) :])), p.weight_filler)]

    def forward_keeping(self, bottom: Sequence[Blob], top: Sequence[Blob], keep: Keep) -> Any:
        if self._normalizes:  # compute writes there
            self.blobs[0].data_memory.mutable_on(runtime.device())
        return super().forward_keeping(bottom, top, keep)

    @property
    def _normalizes(self) -> bool:
        return self.param.inner_distance_param.normalize and self.bottom_count == 1

    def compute(self, x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        p = self.param.inner_distance_param
        axis = self.axis(p.axis, x.shape)
        points = rest[0]
        if x.is_meta:
            return x.new_empty(*x.shape[:axis], points.shape[0])
        points = points.flatten(1)
        if self._normalizes:
            with torch.no_grad():
                points.mul_(torch.rsqrt(points.square().sum(1, keepdim=True) + 1e-6))
        rows = x.flatten(axis).unsqueeze(-2)
        if p.update_center_only:
            labels = rest[1].reshape(rows.shape[:-1])
            own = labels == torch.arange(len(points), device=x.device)
            points = torch.where(own[..., None], points, points.detach())
        if p.distance_type == "L2":
            return (rows - points).square().sum(-1)
        distances: torch.Tensor = _Absolute.apply(rows, points)  # type: ignore[no-untyped-call]
        return distances.sum(-1)


class _Absolute(torch.autograd.Function):
    """|a - b| with the original's gradients."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        d = a - b
        ctx.save_for_backward(d)
        ctx.sizes = a.shape, b.shape
        return d.abs()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        (d,) = ctx.saved_tensors
        (g,) = gradients
        above, below = (d > 0).to(g), (d < 0).to(g)
        of_a, of_b = g * above - below, g * below - above
        size_a, size_b = ctx.sizes
        return of_a.sum_to_size(size_a), of_b.sum_to_size(size_b)
