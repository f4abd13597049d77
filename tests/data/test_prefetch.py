"""The prefetcher: order, bounds, errors, no thread left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
from support_data import prefetching

from caffe.data.prefetch import Allocate, BatchSource, Prefetcher
from caffe.errors import DataError


class Numbers(BatchSource):
    """Batches 0, 1, 2, …; the even ones take longer."""

    def __init__(self) -> None:
        self.next = 0
        self.planned: list[int] = []
        self.fails: set[int] = set()
        self.closed = False

    def plan(self) -> int:
        self.planned.append(self.next)
        self.next += 1
        return self.next - 1

    def load(self, job: int, allocate: Allocate) -> list[Any]:
        time.sleep(0.004 if job % 2 == 0 else 0.0)
        if job in self.fails:
            raise DataError(f"batch {job}")
        array = allocate((2, 3))
        array[:] = job
        return [array]

    def state(self) -> dict[str, Any]:
        return {"next": self.next}

    def restore(self, state: dict[str, Any]) -> None:
        self.next = state["next"]

    def close(self) -> None:
        self.closed = True


def value(prefetcher: Prefetcher) -> int:
    [tensor] = prefetcher.take()
    assert tensor.shape == (2, 3)
    return int(tensor[1, 2])


@pytest.mark.parametrize("threads", [1, 4])
def test_in_order_and_never_too_far_ahead(threads: int) -> None:
    source = Numbers()
    prefetcher = Prefetcher(source, depth=3, threads=threads)
    time.sleep(0.02)
    assert source.planned == []
    for i in range(40):
        assert value(prefetcher) == i
        assert prefetcher.state() == {"next": i + 1}
        assert len(source.planned) <= i + 1 + 3
    time.sleep(0.05)
    assert len(source.planned) == 43
    prefetcher.close()
    assert source.closed and prefetching() == 0


def test_restored() -> None:
    prefetcher = Prefetcher(Numbers(), depth=3, threads=2)
    for _ in range(5):
        value(prefetcher)
    prefetcher.restore({"next": 2})
    assert prefetcher.state() == {"next": 2}
    assert [value(prefetcher) for _ in range(3)] == [2, 3, 4]
    prefetcher.close()


def test_errors_come_in_their_turn() -> None:
    source = Numbers()
    source.fails = {2}
    prefetcher = Prefetcher(source, depth=4, threads=3)
    assert [value(prefetcher), value(prefetcher)] == [0, 1]
    with pytest.raises(DataError, match="batch 2"):
        prefetcher.take()
    assert [value(prefetcher), value(prefetcher)] == [3, 4]
    prefetcher.close()


@pytest.mark.cpu
def test_memory_is_used_again_only_when_nobody_holds_it() -> None:
    prefetcher = Prefetcher(Numbers(), depth=2, threads=1)
    kept = [prefetcher.take()[0] for _ in range(3)]
    views = [prefetcher.take()[0].numpy()[1:] for _ in range(3)]
    places = set()
    for _ in range(30):
        places.add(prefetcher.take()[0].data_ptr())
    assert [int(k[0, 0]) for k in kept] == [0, 1, 2]
    assert [int(v[0, 0]) for v in views] == [3, 4, 5]
    assert len(places) <= 6 and not places & {k.data_ptr() for k in kept}
    prefetcher.close()


def test_waiting_is_measured() -> None:
    prefetcher = Prefetcher(Numbers(), depth=1, threads=1)
    for _ in range(10):
        value(prefetcher)
    assert 0.01 < prefetcher.waited < 5
    prefetcher.close()


def test_closed_while_full_and_while_empty() -> None:
    for takes in (0, 1):
        prefetcher = Prefetcher(Numbers(), depth=2, threads=4)
        for _ in range(takes):
            prefetcher.take()
        prefetcher.close()
        prefetcher.close()
    assert prefetching() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_locks_of_lost_threads() -> None:
    prefetcher = Prefetcher(Numbers(), depth=2, threads=1)
    value(prefetcher)
    crew = prefetcher._crew
    assert crew is not None
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with crew._changed:  # as a thread does that is just taking from the queue
            taken.set()
            over.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        crew.stop()  # what the end of a prefetcher calls
        os._exit(0 if value(prefetcher) == 1 else 1)
    over.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert value(prefetcher) == 1
    prefetcher.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_collected_by_a_thread_of_its_own(threads: int) -> None:
    """As the garbage collector may do: the source is open as long as a thread reads from it."""
    held: list[Prefetcher] = []
    go, closed = threading.Event(), threading.Event()
    open_after: list[bool] = []

    class Last(Numbers):
        def load(self, job: int, allocate: Allocate) -> list[Any]:
            if job >= 1:
                assert go.wait(20)
                held.clear()
                time.sleep(0.02)
                open_after.append(not closed.is_set())
            return super().load(job, allocate)

        def close(self) -> None:
            closed.set()

    held.append(Prefetcher(Last(), depth=4, threads=threads))
    assert value(held[0]) == 0
    go.set()
    assert closed.wait(20)
    assert open_after and all(open_after)
    deadline = time.monotonic() + 20
    while prefetching() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not prefetching()
