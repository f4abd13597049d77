"""Prefetching: background threads make batches ahead, in order, into a queue of bounded length.

A :class:`BatchSource` says *what* the next batch is (``plan``, one thread at a time, in order) and *makes*
it (``load``, in any number of threads). :class:`Prefetcher` keeps the order, hands errors to who takes the
batch, remembers the source's state after each batch, and leaves no thread behind.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe import runtime
from caffe.errors import StateError

Array = npt.NDArray[Any]
State = dict[str, Any]
Allocate = Callable[[tuple[int, ...]], Array]


class BatchSource(ABC):
    """Batches without end; see the module."""

    @abstractmethod
    def plan(self) -> Any:
        """What the next batch is made of. Called by one thread at a time."""

    @abstractmethod
    def load(self, job: Any, allocate: Allocate) -> list[Array]:
        """Make a planned batch: one array a top, of float32, in memory from ``allocate``."""

    @abstractmethod
    def state(self) -> State:
        """Where the source is: what the next ``plan`` will plan, as plain numbers, strings and lists."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go to where :meth:`state` was."""

    def close(self) -> None:  # noqa: B027 (not every source has something to close)
        """Give files and databases back."""

    def reopen(self) -> None:  # noqa: B027
        """Open them again, in a forked process."""


class _Batch:
    """A batch on its way."""

    __slots__ = ("arrays", "error", "ready", "state")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.arrays: list[torch.Tensor] = []
        self.error: BaseException | None = None
        self.state: State = {}


class Prefetcher:
    """Takes batches from a source ahead of time: up to ``depth`` wait, made by ``threads`` threads.

    Threads start with the first :meth:`take`. ``waited`` counts the seconds that callers waited for data.
    """

    def __init__(self, source: BatchSource, depth: int, threads: int) -> None:
        self.source = source
        self.depth = max(1, depth)
        self.thread_count = max(1, threads)
        self.waited = 0.0
        self._crew: _Crew | None = None
        self._pid = os.getpid()
        self._state = source.state()
        self._ending = weakref.finalize(self, source.close)

    def take(self) -> list[torch.Tensor]:
        """The next batch, on the present device. Raises what its making raised."""
        if self._pid != os.getpid():
            self._crew, self._pid = None, os.getpid()  # threads do not live on in a forked process
            self.source.reopen()
            self.source.restore(self._state)
        if self._crew is None:
            self._crew = _Crew(self.source, self.depth, self.thread_count, runtime.device())
            self._at_end(self._crew.stop, self.source.close)
        batch, waited = self._crew.take()
        self.waited += waited
        self._state = batch.state
        if batch.error is not None:
            raise batch.error
        if batch.arrays and batch.arrays[0].is_cuda:
            for array in batch.arrays:
                array.record_stream(torch.cuda.current_stream(array.device))
        return batch.arrays

    def state(self) -> State:
        """The source's state behind the batch taken last; batches made ahead do not count."""
        return dict(self._state)

    def restore(self, state: State) -> None:
        """Go on from a state; batches made ahead are dropped."""
        self._stop()
        self.source.restore(state)
        self._state = dict(state)

    def close(self) -> None:
        """End the threads and close the source."""
        self._stop()
        self.source.close()

    def _stop(self) -> None:
        crew, self._crew = self._crew, None
        if crew is not None and self._pid == os.getpid():
            crew.stop()
        self._at_end(self.source.close)

    def _at_end(self, call: Callable[..., None], *args: Any) -> None:
        """What is called when nobody holds this any more."""
        self._ending.detach()
        self._ending = weakref.finalize(self, call, *args)


class _Crew:
    """The threads and their queue. Knows nothing of the Prefetcher, so that this one can be collected."""

    def __init__(self, source: BatchSource, depth: int, threads: int, device: torch.device) -> None:
        self._source = source
        self._depth = depth
        self._device = device
        self._queue: deque[_Batch] = deque()
        self._changed = threading.Condition()
        self._planning = threading.Lock()
        self.reading = threading.Lock()
        """Held while the source is read, and by a process that forks."""
        self._stopped = False
        self._then: Callable[[], None] | None = None
        self._pool = _Pool()
        self._running = threads
        self._threads = [
            threading.Thread(target=self._run, name=f"caffe-prefetch-{i}", daemon=True)
            for i in range(threads)
        ]
        _crews.add(self)
        for thread in self._threads:
            thread.start()

    def take(self) -> tuple[_Batch, float]:
        start = time.perf_counter()
        with self._changed:
            while not self._queue:
                if self._stopped:
                    raise StateError("The data layer was closed", fix="Make the net again")
                self._changed.wait()
            batch = self._queue[0]
        batch.ready.wait()
        with self._changed:
            if self._queue and self._queue[0] is batch:
                self._queue.popleft()
            self._changed.notify_all()
        return batch, time.perf_counter() - start

    def stop(self, then: Callable[[], None] | None = None) -> None:
        """End the threads, and call ``then`` when they are through with what they read.

        The garbage collector may call this in one of them, in the middle of a record: then the last calls it.
        """
        inside = threading.current_thread() in self._threads
        with self._changed:
            self._stopped = True
            self._queue.clear()
            self._then = then if inside else None
            self._changed.notify_all()
        if inside:
            return
        for thread in self._threads:
            thread.join()
        if then is not None:
            then()

    def abandon(self) -> None:
        """In a forked process: the threads are not there, and a lock that one held would stay locked."""
        self._changed = threading.Condition()
        self._stopped = True
        self._threads = []

    def _run(self) -> None:
        try:
            self._work()
        finally:
            with self._changed:
                self._running -= 1
                then = self._then if self._running == 0 else None
            if then is not None:
                then()

    def _work(self) -> None:
        _yield_to_computing()
        while True:
            with self._planning:
                batch = _Batch()
                with self._changed:
                    while len(self._queue) >= self._depth and not self._stopped:
                        self._changed.wait()
                    if self._stopped:
                        return
                    self._queue.append(batch)
                    self._changed.notify_all()
                with self.reading:
                    try:
                        job = self._source.plan()
                    except BaseException as error:
                        batch.error = error
                    finally:
                        batch.state = self._source.state()
            if batch.error is None:
                try:
                    batch.arrays = self._load(job)
                except BaseException as error:
                    batch.error = error
            batch.ready.set()

    def _load(self, job: Any) -> list[torch.Tensor]:
        if self._device.type != "cuda":
            return [torch.from_numpy(a) for a in self._source.load(job, self._pool.allocate)]
        pinned: dict[int, torch.Tensor] = {}

        def allocate(shape: tuple[int, ...]) -> Array:
            tensor = torch.empty(shape, pin_memory=True)
            array: Array = tensor.numpy()
            pinned[array.ctypes.data] = tensor
            return array

        arrays = self._source.load(job, allocate)
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            tensors = [torch.from_numpy(a).to(self._device, non_blocking=True) for a in arrays]
        stream.synchronize()  # only this thread waits
        return tensors


def _yield_to_computing() -> None:
    """Let this thread, when it wakes up, wait for its turn instead of interrupting one that computes (Linux)."""
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # where the system forbids it, as some sandboxes do
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


_crews: weakref.WeakSet[_Crew] = weakref.WeakSet()
_held: list[threading.Lock] = []


def _hold_readers() -> None:
    """Before a fork: let nobody be in the middle of a database's call, whose locks the child would keep for
    ever."""
    for crew in list(_crews):
        crew.reading.acquire()
        _held.append(crew.reading)


def _release_readers() -> None:
    while _held:
        _held.pop().release()


def _abandon_crews() -> None:
    _release_readers()
    for crew in list(_crews):
        crew.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_readers, after_in_parent=_release_readers, after_in_child=_abandon_crews)


class _Block(np.ndarray[Any, Any]):
    """Memory that is lent. (A type of its own, so that numpy keeps the loan between an array and its
    memory.)
    """


class _Pool:
    """Memory of batches, used again once nobody holds an array or tensor of it any more.

    Fresh memory of this size would be faulted in page by page for every batch, which costs as much as
    filling it.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[_Block]] = {}

    def allocate(self, shape: tuple[int, ...]) -> Array:
        count = int(np.prod(shape))
        try:
            block = self._free[count].pop()
        except (KeyError, IndexError):
            block = np.empty(count, np.float32).view(_Block).copy()
        loan = block[:]
        weakref.finalize(loan, self._give_back, self._free, block).atexit = False
        return loan.view(np.ndarray).reshape(shape)

    @staticmethod
    def _give_back(free: dict[int, list[_Block]], block: _Block) -> None:
        kept = free.setdefault(block.size, [])
        if len(kept) < 32:
            kept.append(block)
