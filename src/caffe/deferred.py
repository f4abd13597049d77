"""Checks of values on an accelerator, which say what is wrong once they are done: computing never waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

_Complaint = Callable[[], Exception | None]
"""Makes the error for values that are wrong, or logs a warning and makes none."""


class _Pending(threading.local):
    def __init__(self) -> None:
        self.checks: list[tuple[torch.Tensor, torch.cuda.Event, _Complaint]] = []


_pending = _Pending()


def refuse(wrong: torch.Tensor, complaint: _Complaint) -> None:
    """Raise what ``complaint`` makes where ``wrong`` is true anywhere.

    On the CPU at once. On a CUDA device the answer is on its way, and :func:`raise_arrived` raises it; until then
    the layer goes on with values of its choice.
    """
    if wrong.is_meta or not wrong.numel() or torch.compiler.is_compiling():
        return
    if wrong.device.type != "cuda":
        if bool(wrong.any()):
            _raise(complaint)
        return
    if torch.cuda.is_current_stream_capturing():
        return
    answer = torch.empty((), dtype=torch.bool, pin_memory=True)
    answer.copy_(wrong.any(), non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    _pending.checks.append((answer, event, complaint))


def raise_arrived(wait: bool = False) -> None:
    """Raise the first error of this thread's checks that are done; of all of them, with ``wait``."""
    checks = _pending.checks
    while checks and (wait or checks[0][1].query()):
        answer, event, complaint = checks.pop(0)
        event.synchronize()
        if bool(answer):
            _raise(complaint)


def _raise(complaint: _Complaint) -> None:
    error = complaint()
    if error is not None:
        _pending.checks.clear()  # of what was computed meanwhile
        raise error
