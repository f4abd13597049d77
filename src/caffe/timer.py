"""Timer: measures wall-clock time; with an accelerator, until it has finished what was started."""

from __future__ import annotations

import sys
import time

from caffe import runtime
from caffe.errors import StateError


class Timer:
    """``start()``, ``stop()``, then ``ms``, ``s`` or ``us``: the time between."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._seconds: float | None = None

    def start(self) -> None:
        """Begin, or begin again."""
        _finish_device()
        self._seconds = None
        self._started = time.perf_counter()

    def stop(self) -> None:
        """End; the time stays to be read. Raises StateError before :meth:`start`."""
        if self._started is None:
            raise StateError("The timer was never started", fix="Call start() before stop()")
        if self._seconds is None:
            _finish_device()
            self._seconds = time.perf_counter() - self._started

    @property
    def s(self) -> float:
        """Seconds; of a running timer those so far, which also stops it. Raises StateError before start."""
        self.stop()
        return self._seconds or 0.0

    @property
    def ms(self) -> float:
        """Milliseconds."""
        return self.s * 1e3

    @property
    def us(self) -> float:
        """Microseconds."""
        return self.s * 1e6


def _finish_device() -> None:
    if "torch" not in sys.modules:
        return
    device = runtime.device()
    if device.type != "cpu":
        import torch

        torch.accelerator.synchronize() if hasattr(torch, "accelerator") else torch.cuda.synchronize()
