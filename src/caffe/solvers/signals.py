"""What SIGINT, SIGHUP and SIGTERM do to a training run: stop, snapshot, or nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType


class Action(Enum):
    """What a solver is asked to do at the end of the iteration."""

    NONE = "none"
    STOP = "stop"
    SNAPSHOT = "snapshot"


class SignalActions:
    """Collects signals while a solver runs; ask with :meth:`take`. SIGTERM always stops."""

    def __init__(self, sigint: Action = Action.STOP, sighup: Action = Action.SNAPSHOT) -> None:
        self._effects = {signal.SIGINT: sigint, signal.SIGTERM: Action.STOP}
        if hasattr(signal, "SIGHUP"):
            self._effects[signal.SIGHUP] = sighup
        self._asked: Action = Action.NONE
        self._interrupts = 0

    def take(self) -> Action:
        """The action asked for since the last call. An iteration came to its end: interrupts count anew."""
        asked, self._asked = self._asked, Action.NONE
        self._interrupts = 0
        return asked

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number in (signal.SIGINT, signal.SIGTERM):
            self._interrupts += 1
            if self._interrupts >= 3:  # the run does not get to the end of its iteration
                raise KeyboardInterrupt
        effect = self._effects[signal.Signals(number)]
        if effect is not Action.NONE:
            self._asked = effect

    @contextmanager
    def installed(self) -> Iterator[SignalActions]:
        """Handle the signals within a ``with`` block (in the main thread)."""
        before = {number: signal.signal(number, self._receive) for number in self._effects}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
