"""Where the random numbers stand: torch's generators and NumPy's, to draw the same ones again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from caffe import runtime


@dataclass(frozen=True)
class RandomState:
    """The states of all generators that layers draw from."""

    cpu: torch.Tensor
    cuda: torch.Tensor | None
    numpy: Any


def random_state() -> RandomState:
    """The present states."""
    device = runtime.device()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return RandomState(torch.get_rng_state(), cuda, runtime.rng().bit_generator.state)


@contextmanager
def drawing_again(state: RandomState) -> Iterator[None]:
    """Inside, the numbers that were drawn from ``state`` on are drawn again; outside nothing changes."""
    before = random_state()
    _set(state)
    try:
        yield
    finally:
        _set(before)


def _set(state: RandomState) -> None:
    torch.set_rng_state(state.cpu)
    if state.cuda is not None:
        torch.cuda.set_rng_state(state.cuda, runtime.device())
    runtime.rng().bit_generator.state = state.numpy
