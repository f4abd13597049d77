"""RMSProp."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.errors import SolverError
from caffe.proto import caffe_pb2
from caffe.solvers.rule import Rule, Tensors
from caffe.torch_private import foreach_add_, foreach_addcmul_, foreach_div_, foreach_mul_, foreach_sqrt


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
        foreach_mul_(h, self.rms_decay)
        foreach_addcmul_(h, grads, grads, value=1 - self.rms_decay)
        root = foreach_sqrt(h)
        foreach_add_(root, self.delta)
        foreach_mul_(grads, rate)
        foreach_div_(grads, root)
