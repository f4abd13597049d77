"""From requests to workers: a queue for each model, batches of what waits, and a new worker for one that died.

A batch is whatever waits when a worker becomes free, up to the model's largest: one client is never made to wait for
others, and many fill batches by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.errors import CaffeError, InputError, StateError
from caffe.serving import worker
from caffe.serving.settings import Served

Arrays = dict[str, npt.NDArray[Any]]
_START_SECONDS = 600.0
"""For a worker to build, and perhaps to compile, its net."""
_RESTARTS = 5
"""Workers that die one after the other without an answer before a model is given up."""


class QueueFull(CaffeError):
    """More requests wait than may."""


class TooLate(CaffeError):
    """No answer in time."""


class WorkerLost(CaffeError):
    """The worker died with the request."""


@dataclass(eq=False)
class _Job:
    task: str
    arguments: tuple[Any, ...]
    rows: int
    deadline: float
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class _Process:
    """A worker's process and the thread that talks to it."""

    def __init__(self, served: Served) -> None:
        # read when the worker loads OpenMP: threads that spin while they wait stall each other on busy cores
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=worker.main, args=(served, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.thread = ThreadPoolExecutor(1)
        self.answered = False
        self.hangs = False

    def ask(self, message: tuple[Any, ...] | None, seconds: float) -> Any:
        """Send and wait for the answer. Raises InputError as the model does, WorkerLost, TooLate."""
        try:
            if message is not None:
                self.pipe.send(message)
            if not self.pipe.poll(seconds):
                self.hangs = True
                raise TooLate(f"The model took more than {seconds:g} seconds")
            kind, answer = self.pipe.recv()
        except (EOFError, OSError, BrokenPipeError):
            raise WorkerLost("The worker of the model died; a new one is started", fix="Ask again") from None
        if kind == "error":
            raise InputError(answer)
        self.answered = True
        return answer

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.pipe.close()
        self.process.join(0 if self.hangs else 2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(2)
        self.thread.shutdown(wait=False)


class Pool:
    """One version of a model: its queue and its workers."""

    def __init__(self, served: Served, observe: Callable[..., None] = lambda *a: None) -> None:
        self.served = served
        self.about: dict[str, Any] = {}
        self.observe = observe
        self.failure = ""
        self.alive = 0
        self.restarts = 0
        self._jobs: deque[_Job] = deque()
        self._news = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._processes: set[_Process] = set()
        self._closing = False

    @property
    def ready(self) -> bool:
        return self.alive > 0

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    async def start(self) -> None:
        """Start the workers; the first is waited for. Raises what building the net raised."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks = [asyncio.create_task(self._work(started)) for _ in range(self.served.workers)]
        await started

    async def close(self) -> None:
        """End the workers; what still waits is answered with an error."""
        self._closing = True
        for job in self._jobs:
            if not job.done.done():
                job.done.set_exception(StateError("The server is shutting down"))
        self._jobs.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(asyncio.to_thread(p.stop) for p in list(self._processes)))

    async def run(self, inputs: Arrays) -> Arrays:
        """Outputs for inputs with a batch axis. Raises InputError, QueueFull, TooLate, WorkerLost."""
        rows = len(next(iter(inputs.values())))
        outputs: Arrays = await self._put("run", (inputs,), rows)
        return outputs

    async def detect(self, photo: npt.NDArray[np.uint8], threshold: float) -> list[Any]:
        """What is in a photo. Raises as :meth:`run`."""
        boxes: list[Any] = await self._put("detect", (photo, threshold), self.served.batch)
        return boxes

    async def _put(self, task: str, arguments: tuple[Any, ...], rows: int) -> Any:
        if self._closing:
            raise StateError("The server is shutting down")
        if self.failure:
            raise StateError(f"The model does not run: {self.failure}")
        limits = self.served.limits
        if len(self._jobs) >= limits.queue:
            raise QueueFull(f"{len(self._jobs)} requests wait for the model already", fix="Ask again later")
        job = _Job(task, arguments, rows, time.monotonic() + limits.seconds)
        self._jobs.append(job)
        async with self._news:
            self._news.notify()
        try:
            return await asyncio.wait_for(job.done, limits.seconds + 1)
        except asyncio.TimeoutError:
            raise TooLate(f"No answer within {limits.seconds:g} seconds") from None
        finally:
            with contextlib.suppress(ValueError):  # what nobody waits for must not fill the queue
                self._jobs.remove(job)

    async def _work(self, started: asyncio.Future[None]) -> None:
        """One worker's life, and that of those that come after it."""
        deaths = 0
        while not self._closing:
            process = _Process(self.served)
            self._processes.add(process)
            try:
                self.about = await self._ask(process, None, _START_SECONDS)
                self.alive += 1
                if not started.done():
                    started.set_result(None)
                try:
                    await self._serve(process)
                finally:
                    self.alive -= 1
            except CaffeError as error:
                self.restarts += 1
                deaths = 0 if process.answered and self.about else deaths + 1
                if not started.done():
                    started.set_exception(error)
                    return
                if deaths >= _RESTARTS:
                    self.failure = str(error)
                    return
            finally:
                self._processes.discard(process)
                await asyncio.shield(asyncio.to_thread(process.stop))

    @staticmethod
    async def _ask(process: _Process, message: tuple[Any, ...] | None, seconds: float) -> Any:
        return await asyncio.get_running_loop().run_in_executor(process.thread, process.ask, message, seconds)

    async def _serve(self, process: _Process) -> None:
        """Answer batches until the worker dies, which raises."""
        while True:
            jobs = await self._next(process)
            if not jobs:
                continue
            began = time.monotonic()
            try:
                answers = await self._answers(process, jobs)
            except (WorkerLost, TooLate) as error:
                for job in jobs:
                    if not job.done.done():
                        job.done.set_exception(error)
                raise
            except CaffeError as error:
                answers = [error] * len(jobs)
            self.observe(self.served, len(jobs), sum(j.rows for j in jobs), time.monotonic() - began)
            for job, answer in zip(jobs, answers):
                if job.done.done():
                    continue
                if isinstance(answer, Exception):
                    job.done.set_exception(answer)
                else:
                    job.done.set_result(answer)

    async def _next(self, process: _Process) -> list[_Job]:
        """The jobs of the next batch; looks after the worker while there are none."""
        async with self._news:
            while not self._jobs:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 1.0)
                if not process.process.is_alive():
                    raise WorkerLost("The worker of the model died")
        batch: list[_Job] = []
        rows = 0
        while self._jobs:
            job = self._jobs[0]
            if job.done.done() or time.monotonic() > job.deadline:  # nobody waits for it any more
                self._jobs.popleft()
                if not job.done.done():
                    job.done.set_exception(TooLate("The request waited too long for the model"))
                continue
            if batch and (
                job.task != "run" or batch[0].task != "run" or rows + job.rows > self.about["batch"]
            ):
                break
            batch.append(self._jobs.popleft())
            rows += job.rows
        return batch

    async def _answers(self, process: _Process, jobs: list[_Job]) -> list[Any]:
        seconds = self.served.limits.seconds
        first = jobs[0]
        if first.task != "run":
            return [await self._ask(process, (first.task, *first.arguments), seconds)]
        if len(jobs) == 1:
            return [await self._ask(process, ("run", *first.arguments), seconds)]
        names = list(first.arguments[0])
        batch = {name: np.concatenate([job.arguments[0][name] for job in jobs]) for name in names}
        outputs = await self._ask(process, ("run", batch), seconds)
        answers, at = [], 0
        for job in jobs:
            answers.append({name: values[at : at + job.rows] for name, values in outputs.items()})
            at += job.rows
        return answers
