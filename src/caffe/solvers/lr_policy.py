"""Learning-rate policies: the rate of an iteration, from the solver's parameters.

The original's: fixed, step, exp, inv, multistep, poly, sigmoid. Beyond it: ``cosine`` (Loshchilov & Hutter 2017, one
half wave down to ``min_lr`` over ``max_iter``), ``plateau`` (a step down by ``gamma`` when the smoothed loss has not
improved for ``plateau_winsize`` iterations, as in SSD's fork), ``multifixed`` (``stagelr`` until ``stageiter``), and a
linear warm-up in front of any of them: ``warmup_iter`` and ``warmup_start_lr`` (or ``rampup_interval``, ``rampup_lr``).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from caffe import logs
from caffe.errors import SolverError, close_names
from caffe.proto import caffe_pb2

SolverParameter = caffe_pb2.SolverParameter

_NEEDS = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma",),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
    "cosine": ("max_iter",),
    "plateau": ("gamma", "plateau_winsize"),
    "multifixed": ("stagelr", "stageiter"),
}


class LRPolicy:
    """The policy of one solver. ``current_step`` is the state that a snapshot keeps."""

    def __init__(self, param: SolverParameter) -> None:
        self.param = param
        self.current_step = 0
        self.minimum_loss = math.inf
        self.last_improved = 0
        self._rate: Callable[[int], float] = self._check(param)

    def _check(self, param: SolverParameter) -> Callable[[int], float]:
        policy = param.lr_policy
        if policy not in _NEEDS:
            raise SolverError(
                f"must be one of {', '.join(_NEEDS)}; got '{policy}'"
                if policy
                else "must be given; got nothing",
                field="lr_policy",
                fix=close_names(policy, _NEEDS) or 'For example lr_policy: "fixed"',
            )
        if not param.HasField("base_lr") and policy != "multifixed":
            raise SolverError("must be given; got nothing", field="base_lr")
        for field in _NEEDS[policy]:
            repeated = isinstance(getattr(param, field), (int, float)) is False
            missing = not len(getattr(param, field)) if repeated else not param.HasField(field)
            if missing:
                raise SolverError(f"must be given for lr_policy '{policy}'; got nothing", field=field)
        if "stepsize" in _NEEDS[policy] and policy == "step" and param.stepsize <= 0:
            raise SolverError(f"must be at least 1; got {param.stepsize}", field="stepsize")
        if policy == "multifixed" and len(param.stagelr) != len(param.stageiter):
            raise SolverError(
                f"must have as many values as stageiter, {len(param.stageiter)}; got {len(param.stagelr)}",
                field="stagelr",
            )
        rate: Callable[[int], float] = getattr(self, f"_{policy}")
        return rate

    def rate(self, iteration: int) -> float:
        """The learning rate of an iteration."""
        p = self.param
        rate: float = self._rate(iteration)
        length = p.warmup_iter or p.rampup_interval
        if iteration < length:
            start = p.warmup_start_lr if p.warmup_iter else p.rampup_lr
            end = self._rate(length)
            rate = start + (end - start) * iteration / length
        if p.HasField("min_lr"):
            rate = max(rate, p.min_lr)
        return rate

    def observe(self, iteration: int, loss: float) -> None:
        """Tell ``plateau`` the smoothed loss of an iteration."""
        if loss < self.minimum_loss:
            self.minimum_loss, self.last_improved = loss, iteration
        windows = self.param.plateau_winsize
        if self.current_step < len(windows) and iteration - self.last_improved >= windows[self.current_step]:
            self.current_step += 1
            self.last_improved = iteration
            logs.info(f"Plateau Status: Iteration {iteration}, step = {self.current_step}")
            logs.info(f"Plateau Status: Iteration {iteration}, best loss = {self.minimum_loss:g}")

    @property
    def needs_loss(self) -> bool:
        """Whether ``observe`` must be called."""
        return self.param.lr_policy == "plateau"

    def _fixed(self, iteration: int) -> float:
        return self.param.base_lr

    def _step(self, iteration: int) -> float:
        p = self.param
        self.current_step = iteration // p.stepsize
        return p.base_lr * p.gamma**self.current_step

    def _exp(self, iteration: int) -> float:
        return float(self.param.base_lr * self.param.gamma**iteration)

    def _inv(self, iteration: int) -> float:
        p = self.param
        return float(p.base_lr * (1 + p.gamma * iteration) ** -p.power)

    def _multistep(self, iteration: int) -> float:
        p = self.param
        # One step a call, as in the original, so that a restored current_step means the same.
        if self.current_step < len(p.stepvalue) and iteration >= p.stepvalue[self.current_step]:
            self.current_step += 1
            logs.info(f"MultiStep Status: Iteration {iteration}, step = {self.current_step}")
        return p.base_lr * p.gamma**self.current_step

    def _poly(self, iteration: int) -> float:
        p = self.param
        return p.base_lr * max(0.0, 1 - iteration / p.max_iter) ** p.power if p.max_iter else p.base_lr

    def _sigmoid(self, iteration: int) -> float:
        p = self.param
        x = -p.gamma * (iteration - p.stepsize)
        return p.base_lr / (1 + math.exp(min(x, 700.0)))

    def _cosine(self, iteration: int) -> float:
        p = self.param
        done = min(1.0, iteration / p.max_iter) if p.max_iter else 1.0
        return p.min_lr + (p.base_lr - p.min_lr) * (1 + math.cos(math.pi * done)) / 2

    def _plateau(self, iteration: int) -> float:
        return self.param.base_lr * self.param.gamma**self.current_step

    def _multifixed(self, iteration: int) -> float:
        p = self.param
        for rate, end in zip(p.stagelr, p.stageiter):
            if iteration < end:
                return rate
        return p.stagelr[-1]
