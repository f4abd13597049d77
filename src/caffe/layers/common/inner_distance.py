"""InnerDistance."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.tensor_layer import BlobSpec, TensorLayer


class InnerDistance(TensorLayer):
    """Distances from learned points: y_n = Σ_k (x_k - W_nk)² + b_n, or Σ_k |x_k - W_nk| + b_n with
    ``distance_type: "L1"``.

    The axes of x from ``axis`` on are one vector of K values. With ``normalize`` every forward first makes the
    points of length 1: W_n / √(|W_n|² + 1e-6).

    bottom: x (d₀ × … × d_axis × …); optionally the points (num_output × K) and b (num_output), in place of
    learned ones, which are then not normalized. top: y (d₀ × … × num_output).
    blobs: the points (num_output × K), b (num_output) with ``bias_term``; none with points as a bottom.
    Differs from Caffe: ``transpose``, which the fork mixes up, is an error, as are points without their b where
    ``bias_term`` asks for one; ``update_center_only`` is an error.
    Source: happynear/caffe-windows ``InnerDistance``.
    """

    num_bottoms = (1, 3)
    in_place = False
    origin = "caffe-windows (happynear/caffe-windows)"
    reads = {"inner_distance_param": "* -update_center_only"}

    def check(self, x: Shape, *given: Shape) -> None:
        p = self.param.inner_distance_param
        inputs = math.prod(x[self.axis(p.axis, x) :])
        if p.num_output < 1:
            raise self.error(f"must be at least 1; got {p.num_output}", field="num_output")
        if p.distance_type not in ("L1", "L2"):
            raise self.error(f'must be "L2" or "L1"; got "{p.distance_type}"', field="distance_type")
        if p.transpose:
            raise self.error("must be false: points are rows; got true", field="transpose")
        if given and len(given) != 1 + p.bias_term:
            raise self.error(
                f"with points as a bottom must be {'true' if len(given) == 2 else 'false'} for {len(given) + 1}"
                f" bottoms; got {'true' if p.bias_term else 'false'}",
                field="bias_term",
                fix="Give the bias as bottom 2, or set bias_term: false",
            )
        points = given[0] if given else self.blobs[0].shape if len(self.blobs) else (p.num_output, inputs)
        if points[:1] != (p.num_output,) or math.prod(points) != p.num_output * inputs:
            raise self.shape_error(
                f"the points must be {p.num_output}×{inputs} for a bottom of shape {list(x)}; got {list(points)}"
            )
        if len(given) == 2 and math.prod(given[1]) != p.num_output:
            raise self.shape_error(
                f"the bias must have {p.num_output} values, as num_output; got shape {list(given[1])}"
            )

    def declare(self, x: Shape, *given: Shape) -> list[BlobSpec]:
        p = self.param.inner_distance_param
        if given:
            return []
        specs = [BlobSpec((p.num_output, math.prod(x[self.axis(p.axis, x) :])), p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec((p.num_output,), p.bias_filler))
        return specs

    def compute(
        self, x: torch.Tensor, points: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        p = self.param.inner_distance_param
        axis = self.axis(p.axis, x.shape)
        if x.is_meta:
            return x.new_empty(*x.shape[:axis], p.num_output)
        points = points.flatten(1)
        if p.normalize and self.bottom_count == 1:
            with torch.no_grad():
                points.mul_(torch.rsqrt(points.square().sum(1, keepdim=True) + 1e-6))
        apart = x.flatten(axis).unsqueeze(-2) - points
        y = (apart.abs() if p.distance_type == "L1" else apart.square()).sum(-1)
        return y if bias is None else y + bias.flatten()
