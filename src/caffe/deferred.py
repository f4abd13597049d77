"""Checks of values on an accelerator, which say what is wrong once they are done: computing never waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from caffe.errors import CaffeError

_Complaint = Callable[[], Exception | None]
"""Makes the error for values that are wrong, or logs a warning and makes none."""


class _Pending(threading.local):
    def __init__(self) -> None:
        self.file: str | None = None
        self.checks: list[tuple[torch.Tensor, torch.cuda.Event, _Complaint, str | None]] = []


_pending = _Pending()


@contextmanager
def checking(file: str | None) -> Iterator[None]:
    """What checks on a device find out later names this net's file, whoever waits for it."""
    before, _pending.file = _pending.file, file
    try:
        yield
    finally:
        _pending.file = before


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
    _pending.checks.append((answer, event, complaint, _pending.file))


def raise_arrived(wait: bool = False) -> None:
    """Raise the first error of this thread's checks that are done; of all of them, with ``wait``."""
    checks = _pending.checks
    while checks and (wait or checks[0][1].query()):
        answer, event, complaint, file = checks.pop(0)
        event.synchronize()
        if bool(answer):
            try:
                _raise(complaint)
            except CaffeError as error:
                raise error.located(file=file) from None


def _raise(complaint: _Complaint) -> None:
    error = complaint()
    if error is not None:
        _pending.checks.clear()  # of what was computed meanwhile
        raise error
