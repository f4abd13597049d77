"""MarginInnerProduct."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.blob import Shape
from caffe.layers.loss._labels import class_labels
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, TensorLayer

PHASES = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "QUADRUPLE": 4}


class MarginInnerProduct(TensorLayer):
    """Angular margin: the label's logit |x|·cos(θ) becomes (λ|x|·cos(θ) + |x|·ψ(θ)) / (1 + λ).

    ψ(θ) = (-1)^k cos(mθ) - 2k for θ in [kπ/m, (k+1)π/m]; m is 1 to 4 for SINGLE to QUADRUPLE. λ =
    max(lambda_min, base·(1 + gamma·t)^-power), t from ``iteration`` on counted up by every forward in
    TRAIN. The rows of the weights are scaled to length 1 in every forward. Their gradient is that of a
    plain inner product; only that of x knows the margin: with the derivative of |x|·ψ as a·w + b·x, (a, b)
    is scaled to length 1.

    bottom: x (N × …, the axes from ``axis`` on one vector of K values); labels (N).
    top: y (N × num_output); optionally λ (1 value). blobs: the weights (num_output × K).
    Differs from Caffe: the second top may be left out, too, on the CPU.
    Source: wy1iu/sphereface; Liu et al. 2017.
    """

    num_bottoms = 2
    num_tops = (1, 2)
    no_gradient = (1,)
    origin = "SphereFace (wy1iu/sphereface)"
    reads = {"margin_inner_product_param": "*"}

    def __init__(self, param: caffe_pb2.LayerParameter) -> None:
        super().__init__(param)
        self.iteration = param.margin_inner_product_param.iteration

    def check(self, x: Shape, labels: Shape) -> None:
        p = self.param.margin_inner_product_param
        check_vectors(self, p.num_output, p.axis, x, labels)

    def declare(self, x: Shape, labels: Shape) -> list[BlobSpec]:
        p = self.param.margin_inner_product_param
        return [BlobSpec((p.num_output, math.prod(x[self.axis(p.axis, x) :])), p.weight_filler)]

    def compute(
        self, x: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        p = self.param.margin_inner_product_param
        if not x.is_meta:
            if self.phase == caffe_pb2.TRAIN:
                self.iteration += 1
            with torch.no_grad():
                weight.div_(weight.norm(dim=1, keepdim=True))
        lam = max(p.lambda_min, p.base * (1 + p.gamma * self.iteration) ** -p.power)
        rows = x.flatten(self.axis(p.axis, tuple(x.shape))).flatten(0, -2)
        index, _ = class_labels(self, labels, rows.new_empty(rows.shape[0], p.num_output), 1)
        m = PHASES[p.MarginType.Name(p.type)]
        y: torch.Tensor = _Margin.apply(rows, weight, index.reshape(-1), m, lam)  # type: ignore[no-untyped-call]
        return y if self.top_count == 1 else (y, torch.full((1,), lam, dtype=x.dtype, device=x.device))


class _Margin(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, label: torch.Tensor, m: int, lam: float
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight, label)
        ctx.margin = (m, lam)
        y = x @ weight.t()
        if m == 1 or not len(x):
            return y
        length = x.norm(dim=1, keepdim=True)
        cos = torch.gather(y, 1, label[:, None]) / length
        psi, _ = psi_of(cos, m)
        return y.scatter(1, label[:, None], (lam * cos + psi) * length / (1 + lam))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, label = ctx.saved_tensors
        m, lam = ctx.margin
        grad = grads[0]
        to_x = grad @ weight
        if m > 1 and len(x):
            # d(|x|·ψ)/dx is a·w + b·x; the original scales (a, b) to length 1
            length = x.norm(dim=1, keepdim=True)
            w = weight[label]
            cos = (x * w).sum(1, keepdim=True) / length
            psi, a = psi_of(cos, m)
            b = (psi - a * cos) / length
            margin = (a * w + b * x) / torch.hypot(a, b)
            to_x = to_x + torch.gather(grad, 1, label[:, None]) * (margin - w) / (1 + lam)
        return to_x, grad.t() @ x, None, None, None


def check_vectors(layer: TensorLayer, num_output: int, axis: int, x: Shape, labels: Shape) -> None:
    """Raise LayerError without outputs, ShapeError unless each vector of x has a label."""
    if num_output < 1:
        raise layer.error(f"must be at least 1; got {num_output}", field="num_output")
    first = layer.axis(axis, x)
    if math.prod(x[:first]) != math.prod(labels):
        raise layer.shape_error(
            f"there must be a label for each vector; got features of shape {list(x)} from axis {first} on and"
            f" labels of shape {list(labels)}"
        )


def psi_of(cos: torch.Tensor, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """ψ and its derivative by the cosine."""
    borders = torch.tensor(
        [math.cos(k * math.pi / m) for k in range(1, m)], dtype=cos.dtype, device=cos.device
    )
    k = (cos <= borders).sum(-1, keepdim=True).to(cos.dtype)
    sign = 1 - 2 * (k % 2)
    if m == 2:
        multiple, slope = 2 * cos**2 - 1, 4 * cos
    elif m == 3:
        multiple, slope = 4 * cos**3 - 3 * cos, 12 * cos**2 - 3
    else:
        multiple, slope = 8 * cos**4 - 8 * cos**2 + 1, 32 * cos**3 - 16 * cos
    return sign * multiple - 2 * k, sign * slope
