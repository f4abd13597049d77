"""RMSProp."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.errors import SolverError
from caffe.proto import caffe_pb2
from caffe.solvers.rule import Rule, Tensors


class RMSProp(Rule):
    """h = rms_decay · h + (1 - rms_decay) · g²; Δ = rate · g / (√h + δ)   (Tieleman & Hinton 2012)."""

    takes_momentum = False

    def __init__(self, param: caffe_pb2.SolverParameter) -> None:
        super().__init__(param)
        if not 0 <= param.rms_decay < 1:
            raise SolverError(f"must be in [0, 1); got {param.rms_decay:g}", field="rms_decay")
        self.rms_decay: float = param.rms_decay

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        (h,) = history
        torch._foreach_mul_(h, self.rms_decay)
        torch._foreach_addcmul_(h, grads, grads, value=1 - self.rms_decay)
        root = torch._foreach_sqrt(h)
        torch._foreach_add_(root, self.delta)
        torch._foreach_mul_(grads, rate)
        torch._foreach_div_(grads, root)
