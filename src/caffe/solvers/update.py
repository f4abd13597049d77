"""One update of a net's parameters: clip, normalize, regularize, the rule, apply; in the original's order."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch

from caffe import logs, runtime
from caffe.errors import SolverError, close_names
from caffe.memory import Memory
from caffe.net.sharing import Param
from caffe.precision import LossScale
from caffe.proto import caffe_pb2
from caffe.solvers.rule import Rule
from caffe.torch_private import foreach_add_, foreach_mul_, foreach_norm, foreach_sign

_REGULARIZATIONS = ("L2", "L1")


@dataclass
class Group:
    """Parameters with the same multipliers, updated together."""

    lr_mult: float
    decay_mult: float
    indices: list[int]


class Update:
    """Applies a rule to the learnable parameters of a net, and owns their history."""

    def __init__(self, param: caffe_pb2.SolverParameter, rule: Rule, params: list[Param]) -> None:
        if param.regularization_type not in _REGULARIZATIONS:
            raise SolverError(
                f"must be L2 or L1; got '{param.regularization_type}'",
                field="regularization_type",
                fix=close_names(param.regularization_type, _REGULARIZATIONS) or None,
            )
        if param.iter_size < 1:
            raise SolverError(f"must be at least 1; got {param.iter_size}", field="iter_size")
        self.param = param
        self.rule = rule
        self.params = params
        self.history = [Memory(p.blob.shape) for _ in range(rule.slots) for p in params]
        groups: OrderedDict[tuple[float, float], list[int]] = OrderedDict()
        for i, p in enumerate(params):
            if p.lr_mult != 0:
                groups.setdefault((p.lr_mult, p.decay_mult), []).append(i)
        self.loss_scale: LossScale | None = None
        """By how much the gradients are too large; None where they are as they should be."""
        self.groups = [Group(lr, decay, indices) for (lr, decay), indices in groups.items()]

    def apply(self, rate: float, iteration: int) -> None:
        """Subtract the updates; the parameters' diffs are the updates afterwards, as in the original."""
        device = runtime.device()
        with torch.no_grad():
            if self.loss_scale is not None and not self.loss_scale.unscale(self._grads(device)):
                return
            self._clip(device)
            count = len(self.params)
            for group in self.groups:
                memories = [self.params[i].blob.diff_memory for i in group.indices]
                grads = [m.mutable_on(device) for m in memories]
                values = [self.params[i].blob.data_memory.mutable_on(device).data for i in group.indices]
                self._normalize(grads)
                decay = self._regularize(grads, values, group.decay_mult)
                history = [
                    [self.history[slot * count + i].mutable_on(device) for i in group.indices]
                    for slot in range(self.rule.slots)
                ]
                updates = self.rule.apply(values, grads, history, rate * group.lr_mult, decay, iteration)
                for memory, grad, update in zip(memories, grads, updates):
                    if update is not grad:
                        memory.defer(update)

    def _grads(self, device: torch.device) -> list[torch.Tensor]:
        return [self.params[i].blob.diff_memory.mutable_on(device) for g in self.groups for i in g.indices]

    def _clip(self, device: torch.device) -> None:
        limit = self.param.clip_gradients
        if limit < 0:
            return
        grads = self._grads(device)
        if not grads:
            return
        norm = float(torch.linalg.vector_norm(torch.stack(foreach_norm(grads))))
        if norm > limit:
            scale = limit / norm
            logs.info(
                f"Gradient clipping: scaling down gradients (L2 norm {norm:g} > {limit:g}) by scale factor {scale:g}"
            )
            foreach_mul_(grads, scale)

    def _normalize(self, grads: list[torch.Tensor]) -> None:
        if self.param.iter_size > 1:
            foreach_mul_(grads, 1.0 / self.param.iter_size)

    def _regularize(self, grads: list[torch.Tensor], values: list[torch.Tensor], decay_mult: float) -> float:
        """Returns what is left to the rule: L2's factor."""
        decay = self.param.weight_decay * decay_mult
        if decay == 0 or self.param.regularization_type == "L2":
            return decay
        foreach_add_(grads, foreach_sign(values), alpha=decay)
        return 0.0
