"""The focal loss of one value, which FocalLoss and MultiBoxFocalLoss share."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.proto import caffe_pb2

LEAST_LOG = math.log(torch.finfo(torch.float32).tiny)
_Type = caffe_pb2.FocalLossParameter


def focal(log_p: torch.Tensor, param: caffe_pb2.FocalLossParameter) -> torch.Tensor:
    """The focal loss of probabilities given by their logarithms, value by value."""
    loss: torch.Tensor = _Focal.apply(log_p, param)  # type: ignore[no-untyped-call]
    return loss


class _Focal(torch.autograd.Function):
    """-f · log p with the gradient -(f + df/dp · p · log p), where caffe-windows has gamma · f / (1 ± p) for
    df/dp whatever alpha is. A p of 1 gives 0 whatever gamma is, and p counts as at least the smallest float.
    """

    @staticmethod
    def forward(ctx: Any, log_p: torch.Tensor, param: caffe_pb2.FocalLossParameter) -> torch.Tensor:
        p, rest = log_p.exp(), -torch.expm1(log_p)
        alpha = param.alpha if param.HasField("alpha") or not param.HasField("type") else 1.0
        if not param.HasField("type"):
            factor, slope = alpha * rest**param.gamma, -rest
        elif param.type == _Type.ONEADDP:
            factor, slope = (alpha + p) ** param.gamma, 1 + p
        else:
            factor, slope = (rest if alpha == 1 else alpha - p) ** param.gamma, -rest
        least = log_p.clamp(min=LEAST_LOG)
        slope = torch.where(slope < 0, slope.clamp(max=-1e-10), slope.clamp(min=1e-10))
        ctx.save_for_backward(-(factor + param.gamma * factor / slope * p * least))
        return -factor * least

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return grads[0] * gradient, None
