"""Solver: the training loop, with pycaffe's interface and the original's order of things."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import torch

from caffe import deferred, logs, runtime
from caffe.errors import InputError, InputTypeError, SolverError
from caffe.net.net import Net
from caffe.precision import LossScale
from caffe.proto import caffe_pb2
from caffe.proto.assign import whole
from caffe.solvers import display, evidence, setup, snapshot
from caffe.solvers.callbacks import Callback, FunctionCallback
from caffe.solvers.lr_policy import LRPolicy
from caffe.solvers.rule import Rule
from caffe.solvers.signals import Action
from caffe.solvers.snapshot import State
from caffe.solvers.update import Update
from caffe.solvers.workers import Workers


class Solver:
    """Trains ``net`` as a solver prototxt (path or SolverParameter) says.

    Attributes: ``net``, ``test_nets``, ``iter``, ``param`` (settable while training: ``solver.param.base_lr = …``).
    Raises MissingFileError, ParseError, SolverError, NetError, LayerError.
    """

    rule: ClassVar[type[Rule] | None] = None
    """The update rule; None takes the one that the solver's ``type`` names."""

    def __init__(self, solver_file: str | os.PathLike[str] | caffe_pb2.SolverParameter) -> None:
        self.file, self.param = setup.read(solver_file)
        try:
            self._build()
        except SolverError as error:
            raise error.located(file=self.file) from None

    def _build(self) -> None:
        param = self.param
        setup.check(param)
        kind = self.rule or setup.rule_named(param.type)
        rule = kind(param)
        self._policy = LRPolicy(param)
        setup.prepare_prefix(param, self.file)
        if param.random_seed >= 0:  # data layers of all workers share out one shuffled order
            runtime.set_random_seed(param.random_seed)
        self.iter = 0
        self.net: Net = setup.train_net(param, self.file)
        self.test_nets: list[Net] = setup.test_nets(param, self.file) if runtime.root_solver() else []
        for test_net in self.test_nets:
            test_net.share_with(self.net)
        setup.check_net(param, rule, self.net)
        if param.random_seed >= 0 and not runtime.root_solver():  # each drops out units of its own
            runtime.set_random_seed(param.random_seed + runtime.solver_rank())
        self._update = Update(param, rule, self.net.learnable)
        self.workers = Workers()
        """The processes that train together; :mod:`caffe.parallel` puts them here."""
        self._callbacks: list[Callback] = []
        self._losses: list[torch.Tensor | float] = []
        self._smoothed: torch.Tensor | float = 0.0
        self._restored_window: tuple[list[torch.Tensor | float], torch.Tensor | float, int] | None = None
        self._start = 0
        self._last_display = (0, time.monotonic())
        self._stop_requested = self._measured = False
        self.stop_at_nan = False
        """Whether training raises SolverError when the loss is not finite, naming the first layer with NaN; the weights
        and the batch that led to it are written beside the snapshots."""
        self.action: Callable[[], Action] = lambda: Action.NONE
        """Asked once an iteration what to do; the command line puts signals here."""

    @property
    def type(self) -> str:
        """The update rule's name."""
        return type(self._update.rule).__name__

    @property
    def lr(self) -> float:
        """The learning rate of the next iteration."""
        return self._policy.rate(self.iter)

    # The loop

    def step(self, iters: int) -> None:
        """Train for ``iters`` iterations, with the tests, displays and snapshots that fall due."""
        count = whole(iters)
        if count is None:
            raise InputTypeError(f"step takes a number of iterations; got {iters!r}")
        stop = self.iter + count
        if not self._measured:
            self.check_memory()
        self._begin_window()
        while self.iter < stop:
            self.net.clear_param_diffs()
            if self._test_is_due(self.iter) and (self.iter > 0 or self.param.test_initialization):
                self.test_all()
                if self.workers.follow(self._stop_requested):
                    self._stop_requested = True
                    break
            for callback in self._callbacks:
                callback.on_start(self)
            shows = bool(self.param.display) and self.iter % self.param.display == 0
            loss = self._forward_backward(shows)
            self._smooth(loss)
            shown = self._display() if shows else None
            if self.stop_at_nan and (shows or runtime.device().type == "cpu"):
                self._check_finite(loss)
            if self._policy.needs_loss:
                self._policy.observe(self.iter, self.workers.mean(float(self._smoothed)))
            for callback in self._callbacks:
                callback.on_gradients_ready(self)
            self.apply_update()
            for callback in self._callbacks:
                callback.on_iteration(self, shown)
            due = self.param.snapshot > 0 and self.iter % self.param.snapshot == 0
            if due:
                self._snapshot_together()
            action = self.workers.agree(Action.STOP if self._stop_requested else self.action())
            if action is Action.SNAPSHOT and not due:
                self._snapshot_together()
            if action is Action.STOP:
                self._stop_requested = True
                break

    def check_memory(self) -> None:
        """Raise SolverError where training takes more memory than there is: blobs, parameters, gradients, history.

        Called before the first step; a net with checkpoints keeps fewer blobs, which are not counted.
        """
        self._measured = True
        if not self.net.checkpoints:
            setup.check_memory(self._update.rule, self.net, self.test_nets, self.file)

    def _begin_window(self) -> None:
        if self._restored_window is not None:
            losses, self._smoothed, self._start = self._restored_window
            self._losses = list(losses)
            self._restored_window = None
        else:
            self._losses, self._smoothed, self._start = [], 0.0, self.iter
        self._last_display = (self.iter, time.monotonic())

    def _forward_backward(self, shows: bool) -> torch.Tensor | float:
        loss: torch.Tensor | float = 0.0
        if runtime.amp() == "fp16":
            self._update.loss_scale = self._update.loss_scale or LossScale()
            self.net.set_loss_scale(self._update.loss_scale.value)
        for _ in range(self.param.iter_size):
            if shows and self.param.debug_info:
                with display.debugging(self.net):
                    loss = loss + self.net.forward_loss()
                    self.net.backward_steps()
            else:
                loss = loss + self.net.forward_loss()
                self.net.backward_steps()
        return loss / self.param.iter_size if self.param.iter_size > 1 else loss

    def _smooth(self, loss: torch.Tensor | float) -> None:
        size = self.param.average_loss
        if size == 1:
            self._losses, self._smoothed = [loss], loss
        elif len(self._losses) < size:
            self._losses.append(loss)
            count = len(self._losses)
            self._smoothed = (self._smoothed * (count - 1) + loss) / count
        else:
            index = (self.iter - self._start) % size
            self._smoothed = self._smoothed + (loss - self._losses[index]) / size
            self._losses[index] = loss

    def _display(self) -> float:
        deferred.raise_arrived(wait=True)
        loss = self.workers.mean(float(self._smoothed))
        since, then = self._last_display
        now = time.monotonic()
        outputs = display.outputs(self.net)
        if runtime.root_solver():
            display.iteration(self, loss, (self.iter - since), now - then, outputs)
            for callback in self._callbacks:
                callback.on_display(self, self.iter, loss, self.lr, outputs)
        self._last_display = (self.iter, now)
        return loss

    def _check_finite(self, loss: torch.Tensor | float) -> None:
        if not math.isfinite(float(loss)):
            raise SolverError(
                f"The loss is {float(loss):g} at iteration {self.iter}; {display.first_not_finite(self.net)}"
                f"{evidence.keep(self)}",
                file=self.file,
                fix="Lower base_lr, set clip_gradients, or check the data",
            )

    def apply_update(self) -> None:
        """Update the parameters from their diffs, and count the iteration."""
        rate = self._policy.rate(self.iter)
        if self.param.display and self.iter % self.param.display == 0 and runtime.root_solver():
            display.learning_rate(self.iter, rate)
        self._update.apply(rate, self.iter)
        self.iter += 1

    def solve(self, resume_file: str | None = None, callbacks: Sequence[Callback] = ()) -> None:
        """Train to ``max_iter``, from a .solverstate where one is named; then snapshot and test as configured."""
        self._callbacks.extend(callbacks)
        try:
            self._solve(resume_file)
        finally:
            for callback in self._callbacks:
                callback.on_end(self)
            for callback in callbacks:
                self._callbacks.remove(callback)

    def _solve(self, resume_file: str | None) -> None:
        root = runtime.root_solver()
        if root:
            logs.info(f"Solving {self.net.name}")
            logs.info(f"Learning Rate Policy: {self.param.lr_policy}")
            if not self.param.HasField("max_iter"):
                logs.warning("The solver names no max_iter, which is 0 then: there is nothing to train")
        self._stop_requested = False
        if resume_file:
            logs.info(f"Restoring previous solver status from {resume_file}")
            self.restore(resume_file)
        self.step(self.param.max_iter - self.iter)
        due = not self.param.snapshot or self.iter % self.param.snapshot != 0
        if self.param.snapshot_after_train and due:
            self._snapshot_together()
        if self._stop_requested:
            if root:
                logs.info("Optimization stopped early.")
            return
        if self.param.display and self.iter % self.param.display == 0:
            self._smooth(self.net.forward_loss())
            loss = self.workers.mean(float(self._smoothed))
            if root:
                logs.info(f"Iteration {self.iter}, loss = {loss:g}")
                for callback in self._callbacks:
                    callback.on_display(self, self.iter, loss, self.lr, display.outputs(self.net))
        if self._test_is_due(self.iter):
            self.test_all()
        if root:
            logs.info("Optimization Done.")

    def request_stop(self) -> None:
        """End training after the present iteration, with a snapshot as configured."""
        self._stop_requested = True

    @property
    def stopped(self) -> bool:
        """Whether the last run ended early, by a signal, a callback or ``request_stop``."""
        return self._stop_requested

    # Testing

    def _test_is_due(self, iteration: int) -> bool:
        return bool(self.param.test_interval) and iteration % self.param.test_interval == 0

    def test_all(self) -> None:
        """Run every test net for its ``test_iter`` batches and log the means of its outputs."""
        for callback in self._callbacks:
            callback.before_tests(self)
        try:
            for i in range(len(self.test_nets)):
                if self._stop_requested:
                    break
                self.test(i)
        finally:
            for callback in self._callbacks:
                callback.after_tests(self)

    def test(self, net_id: int = 0) -> dict[str, list[float]]:
        """Run one test net; returns output blob → means over the batches. Raises InputError."""
        if not 0 <= net_id < len(self.test_nets):
            raise InputError(
                f"test takes the number of one of {len(self.test_nets)} test net(s); got {net_id}"
            )
        net = self.test_nets[net_id]
        logs.info(f"Iteration {self.iter}, Testing net (#{net_id})")
        net.share_with(self.net)
        if self.param.eval_type == "detection":
            from caffe.solvers.detection_eval import test_detection

            scores = test_detection(self, net_id)
        else:
            scores = self._test_classification(net, net_id)
        for callback in self._callbacks:
            callback.on_test(self, net_id, self.iter, scores)
        return scores

    def _test_classification(self, net: Net, net_id: int) -> dict[str, list[float]]:
        total: list[torch.Tensor] = []
        loss: torch.Tensor | float = 0.0
        batches = self.param.test_iter[net_id]
        for _ in range(batches):
            action = self.action()
            if action is Action.SNAPSHOT:
                self.snapshot()
            elif action is Action.STOP:
                self._stop_requested = True
                break
            loss = loss + net.forward_loss()
            tensors = [net.blobs[name].tensor.flatten().float() for name in net.outputs]
            total = [a + b for a, b in zip(total, tensors)] if total else [t.clone() for t in tensors]
        if self._stop_requested:
            logs.info("Test interrupted.")
            return {}
        if self.param.test_compute_loss:
            logs.info(f"Test loss: {float(loss) / batches:g}")
        means = {name: (t / batches).tolist() for name, t in zip(net.outputs, total)}
        deferred.raise_arrived(wait=True)
        display.test_outputs(net, means)
        return means

    # Snapshots

    def snapshot(self) -> Path:
        """Write the net and the solver's state; returns the state's path. Raises SnapshotError."""
        deferred.raise_arrived(wait=True)
        return self._write_snapshot([snapshot.worker_state(self)])

    def _snapshot_together(self) -> None:
        """The root writes a snapshot with every worker's state, the others wait."""
        deferred.raise_arrived(wait=True)
        states = self.workers.gather(snapshot.worker_state(self))
        if runtime.root_solver():
            self._write_snapshot(states)
        self.workers.follow(False)

    def _write_snapshot(self, states: list[State | None]) -> Path:
        model, state = snapshot.write(self, states)
        for callback in self._callbacks:
            callback.on_snapshot(self, model, state)
        return state

    def restore(self, state_file: str | os.PathLike[str]) -> None:
        """Continue from a .solverstate (or .solverstate.h5).

        Raises MissingFileError, SnapshotError, InputTypeError.
        """
        if not isinstance(state_file, (str, os.PathLike)):
            raise InputTypeError(f"restore takes the path of a .solverstate; got {state_file!r}")
        snapshot.restore(self, state_file)

    # pycaffe's other ways in

    def add_callback(self, on_start: Any, on_gradients_ready: Any = None) -> None:
        """Hang in two functions without arguments, or one :class:`~caffe.solvers.callbacks.Callback`."""
        if isinstance(on_start, Callback):
            self._callbacks.append(on_start)
        else:
            self._callbacks.append(FunctionCallback(on_start, on_gradients_ready or (lambda: None)))

    def share_weights(self, net: Net) -> None:
        """Let ``net`` use the parameters of this solver's net. Raises InputTypeError."""
        if not isinstance(net, Net):
            raise InputTypeError(f"share_weights takes a Net; got {net!r}")
        net.share_with(self.net)

    @property
    def policy(self) -> LRPolicy:
        """The learning-rate policy, with its state."""
        return self._policy

    @property
    def update(self) -> Update:
        """The update rule at work, with its history."""
        return self._update

    @property
    def loss_window(self) -> tuple[list[torch.Tensor | float], torch.Tensor | float, int]:
        """(losses, smoothed loss, iteration where the window began), for snapshots."""
        return list(self._losses), self._smoothed, self._start

    @loss_window.setter
    def loss_window(self, value: tuple[list[torch.Tensor | float], torch.Tensor | float, int]) -> None:
        self._restored_window = value

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise InputTypeError(
            "A solver cannot be pickled or copied: it holds data readers and what forward kept for backward",
            fix="Write solver.snapshot(), and in the other process make a solver of the same file and restore it",
        )

    def _repr_html_(self) -> str:
        from caffe.display import solver_html

        return solver_html(self)

    def __repr__(self) -> str:
        return f"<{self.type}Solver '{self.net.name}' at iteration {self.iter}>"
