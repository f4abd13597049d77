"""One at a time: calls of a net from several threads wait for each other.

What a call sets, runs and returns belongs together. Blobs that threads read and write between calls are theirs to
guard, with ``with net.turn: …``.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

_C = TypeVar("_C")


class Turn:
    """A lock that the thread which holds it may take again, and that a forked process finds free."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _turns.add(self)

    def __enter__(self) -> Turn:
        self._lock.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return Turn, ()  # a copy of a net has its own

    def renew(self) -> None:
        """Be free: whoever held it is no thread of this process."""
        self._lock = threading.RLock()


def one_at_a_time(methods: str) -> Callable[[type[_C]], type[_C]]:
    """Class decorator: these methods wait until no other thread is in one of the same object's ``turn``."""

    def decorate(cls: type[_C]) -> type[_C]:
        for name in methods.split():
            setattr(cls, name, _in_turn(vars(cls)[name]))
        return cls

    return decorate


def _in_turn(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def waiting(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.turn:
            return method(self, *args, **kwargs)

    return waiting


_turns: weakref.WeakSet[Turn] = weakref.WeakSet()


def _renew_all() -> None:
    for turn in list(_turns):
        turn.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
