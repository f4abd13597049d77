"""Adam."""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe.errors import SolverError
from caffe.proto import caffe_pb2
from caffe.solvers.rule import Rule, Tensors
from caffe.torch_private import (
    foreach_add_,
    foreach_addcmul_,
    foreach_copy_,
    foreach_div_,
    foreach_lerp_,
    foreach_mul_,
    foreach_sqrt,
)


class Adam(Rule):
    """Δ = rate · √(1-β₂ᵗ)/(1-β₁ᵗ) · m / (√v + δ)   (Kingma & Ba 2015; δ outside the root, as in Caffe).

    β₁ is momentum, β₂ momentum2, t counts from 1.
    """

    slots = 2  # order in a .solverstate: every m, then every v

    def __init__(self, param: caffe_pb2.SolverParameter) -> None:
        super().__init__(param)
        for field in ("momentum", "momentum2"):
            if not 0 <= getattr(param, field) < 1:
                raise SolverError(f"must be in [0, 1) for Adam; got {getattr(param, field):g}", field=field)
        self.beta1: float = param.momentum
        self.beta2: float = param.momentum2

    def update(self, grads: Tensors, history: Sequence[Tensors], rate: float, iteration: int) -> None:
        m, v = history
        t = iteration + 1
        correction = math.sqrt(1 - self.beta2**t) / (1 - self.beta1**t)
        foreach_lerp_(m, grads, 1 - self.beta1)
        foreach_mul_(v, self.beta2)
        foreach_addcmul_(v, grads, grads, value=1 - self.beta2)
        root = foreach_sqrt(v)
        foreach_add_(root, self.delta)
        foreach_copy_(grads, m)
        foreach_mul_(grads, rate * correction)
        foreach_div_(grads, root)
