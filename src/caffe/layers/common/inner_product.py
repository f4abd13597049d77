"""InnerProduct."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.memory import Memory
from caffe.tensor_layer import BlobSpec, TensorLayer


class InnerProduct(TensorLayer):
    """Fully connected layer: y = x·Wᵀ + b, with the axes of x from ``axis`` on taken as one vector.

    bottom: x (d₀ × … × d_axis × …). top: y (d₀ × … × num_output).
    blobs: W (num_output × K; K × num_output with ``transpose``), b (num_output) with ``bias_term``.
    Differs from Caffe: nothing known. Source: BVLC ``InnerProduct``.
    """

    reads = {"inner_product_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.inner_product_param
        axis = self.axis(p.axis, shape)
        if p.num_output < 1:
            raise self.error(f"must be at least 1; got {p.num_output}", field="num_output")
        inputs = math.prod(shape[axis:])
        if len(self.blobs) and self.blobs[0].count != p.num_output * inputs:
            raise self.shape_error(
                f"a bottom of shape {list(shape)} gives {inputs} values from axis {axis} on, but the weights have"
                f" shape {list(self.blobs[0].shape)}",
                fix="Keep the input size that the net was built for, or convert the layer to a convolution",
            )

    def declare(self, shape: Shape) -> list[BlobSpec]:
        p = self.param.inner_product_param
        inputs = math.prod(shape[self.axis(p.axis, shape) :])
        weights = (inputs, p.num_output) if p.transpose else (p.num_output, inputs)
        specs = [BlobSpec(weights, p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec((p.num_output,), p.bias_filler))
        return specs

    def compute(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        p = self.param.inner_product_param
        axis = self.axis(p.axis, x.shape)
        if x.is_meta:
            return x.new_empty(*x.shape[:axis], p.num_output)
        if (
            axis == 1
            and weight.requires_grad
            and not (p.transpose or torch.is_autocast_enabled(x.device.type))
        ):
            y: torch.Tensor = _Product.apply(x, weight, bias, self.blobs[0].diff_memory)  # type: ignore[no-untyped-call]
            return y
        return F.linear(x.flatten(axis), weight.t() if p.transpose else weight, bias)


class _Product(torch.autograd.Function):
    """y = x·Wᵀ + b, whose gradient of W goes into the memory of the last iteration's.

    Weights of hundreds of megabytes are common; new memory for their gradients would cost more than the gradients.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, diff: Memory
    ) -> torch.Tensor:
        rows = x.flatten(1)
        ctx.save_for_backward(rows, weight)
        ctx.shape, ctx.diff = x.shape, diff
        return F.linear(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dx = (dy @ weight).view(ctx.shape) if ctx.needs_input_grad[0] else None
        dw = None
        if ctx.needs_input_grad[1]:
            room = ctx.diff.cleared(weight)
            dw = dy.t() @ x if room is None else torch.mm(dy.t(), x, out=room)
        return dx, dw, dy.sum(0) if ctx.needs_input_grad[2] else None, None
