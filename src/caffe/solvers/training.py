"""What callbacks, displays and snapshots see of a solver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from caffe.net.net import Net
from caffe.proto import caffe_pb2
from caffe.solvers.lr_policy import LRPolicy
from caffe.solvers.signals import Action
from caffe.solvers.update import Update

Window = tuple[list[torch.Tensor | float], torch.Tensor | float, int]
"""Losses, the smoothed loss, the iteration where the window began."""


class Training(Protocol):
    """A solver, as those see it that it calls; see :class:`caffe.solvers.solver.Solver`."""

    param: caffe_pb2.SolverParameter
    iter: int
    net: Net
    test_nets: list[Net]
    action: Callable[[], Action]

    @property
    def type(self) -> str:
        """As the prototxt names it."""

    @property
    def lr(self) -> float:
        """The present learning rate."""

    @property
    def policy(self) -> LRPolicy:
        """How the learning rate goes."""

    @property
    def update(self) -> Update:
        """The rule with its history."""

    @property
    def loss_window(self) -> Window:
        """What the smoothed loss is made of."""

    @loss_window.setter
    def loss_window(self, value: Window) -> None: ...

    def request_stop(self) -> None:
        """End training after the present iteration."""

    def snapshot(self) -> Path:
        """Write the net and the solver's state; returns the state's path."""
