"""Group: the workers of a training run, connected.

Two process groups: one for gradients (NCCL for GPUs, gloo for CPUs), which gives up after a time, and one for
agreements (always gloo), where workers wait as long as the root tests or writes. Nothing but numbers and JSON goes
between workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from caffe import logs, runtime, systems
from caffe.errors import CaffeError, DistributedError, StateError
from caffe.parallel import definition
from caffe.parallel.place import Place
from caffe.solvers import snapshot
from caffe.solvers.signals import Action
from caffe.solvers.workers import Workers

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver

_PATIENCE = timedelta(days=2)
_ACTIONS = (Action.NONE, Action.SNAPSHOT, Action.STOP)
"""In order of strength: where workers are asked for different things, the last of these is done."""


class Group(Workers):
    """This process among the others; makes the connections.

    ``timeout`` is how many seconds the others may take to come to the start, and to each reduction of gradients.
    Raises DistributedError when they do not, StateError in a process that is in a group already.
    """

    def __init__(self, place: Place, timeout: float) -> None:
        if dist.is_initialized():
            raise StateError(
                "This process already trains with others", fix="Make one group (or NCCL) in a process"
            )
        self.rank, self.count, self.timeout = place.rank, place.count, timeout
        device = runtime.device()
        self.backend = "nccl" if device.type == "cuda" else "gloo"
        if self.backend == "nccl":
            torch.cuda.set_device(device)
        limit = timedelta(seconds=timeout)
        try:
            self._store = _store_at(place, limit)
            self._store.set_timeout(limit)
            dist.init_process_group(
                self.backend,
                store=PrefixStore("gradients", self._store),
                rank=place.rank,
                world_size=place.count,
                timeout=limit,
            )
            self._control: Any = dist.new_group(backend="gloo", timeout=_PATIENCE)
            self._peers = self._all_gather({"host": socket.gethostname(), "pid": os.getpid()})
        except (RuntimeError, ValueError, OSError) as error:
            raise DistributedError(
                f"The {place.count} workers did not come together at {_address(place)} within {timeout:g} s:"
                f" {_first_line(error)}",
                fix="See that every worker was started, that all reach the root's address and port, and that nothing"
                " else uses the port",
            ) from error
        self._asked: tuple[torch.Tensor, Any] | None = None
        self._solver: Solver | None = None
        self._start_iter = 0
        self._remembered: tuple[int, snapshot.State] | None = None

    def attach(self, solver: Solver) -> None:
        """Work for this solver from now on."""
        self._solver = solver
        self._start_iter = solver.iter
        solver.workers = self

    def close(self) -> None:
        """Part from the others. The threads of the connections have ended when this returns.

        One that still let go of a tensor while the interpreter ends would abort the process, so nothing here may
        hold a connection any longer.
        """
        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                if self._asked is not None:
                    self._asked[1].wait()
                self._asked = self._control = None
                dist.destroy_process_group()

    def abandon(self) -> None:
        """As :meth:`close`, after the others were refused or lost, unless something of theirs is still waited for."""
        deadline = time.monotonic() + 1
        while self._asked is not None and not self._asked[1].is_completed():
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        if self.backend == "gloo" and dist.is_initialized():
            self._asked = self._control = None
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()

    # What a solver asks

    def agree(self, action: Action) -> Action:
        # Answered an iteration later, so that nobody waits for it. A signal to all workers reaches them in
        # different iterations: it must not make several snapshots.
        if action is Action.SNAPSHOT and self.rank:
            action = Action.NONE
        numbers = torch.tensor([_ACTIONS.index(action)])
        asked = self._asked
        try:
            work = dist.all_reduce(numbers, dist.ReduceOp.MAX, group=self._control, async_op=True)
            self._asked = (numbers, work)
            if asked is None:
                return Action.NONE
            asked[1].wait()
        except RuntimeError as error:
            self.lost(error)
        return _ACTIONS[int(asked[0])]

    def follow(self, stop: bool) -> bool:
        return bool(self.broadcast(stop))

    def mean(self, value: float) -> float:
        total = torch.tensor([value], dtype=torch.float64)
        try:
            dist.all_reduce(total, group=self._control)
        except RuntimeError as error:
            self.lost(error)
        return float(total) / self.count

    def gather(self, state: Any) -> list[Any]:
        try:
            states = self._all_gather(state)
        except RuntimeError as error:
            self.lost(error)
        return states if self.rank == 0 else []

    # What the other parts of this package ask

    def broadcast(self, value: Any) -> Any:
        """The root's value, for all."""
        try:
            return self._all_gather(value if self.rank == 0 else None)[0]
        except RuntimeError as error:
            self.lost(error)

    def reduce(self, tensor: torch.Tensor) -> Any:
        """Start to sum a tensor over the workers, in place; returns what :meth:`wait` takes."""
        try:
            return dist.all_reduce(tensor, async_op=True)
        except RuntimeError as error:
            self.lost(error)

    def wait(self, work: Any) -> None:
        """Wait for a reduction. Raises DistributedError when a worker is lost or late."""
        try:
            if self.backend == "nccl":
                self._watch(work)
            work.wait()
        except RuntimeError as error:
            self.lost(error)

    def _watch(self, work: Any) -> None:
        """NCCL does not notice by itself when another process has ended: look every now and then."""
        began = looked = time.monotonic()
        while not work.is_completed():
            now = time.monotonic()
            if now - looked > 1:
                looked = now
                if self._ended() or now - began > self.timeout:
                    raise RuntimeError(f"no answer for {now - began:.0f} s")
            time.sleep(0.0001)

    def broadcast_tensors(self, tensors: list[torch.Tensor]) -> None:
        """Give every worker the root's values, in place."""
        try:
            for tensor in tensors:
                whole = tensor if tensor.is_contiguous() else tensor.contiguous()
                dist.broadcast(whole, 0)
                if whole is not tensor:
                    tensor.copy_(whole)
        except RuntimeError as error:
            self.lost(error)

    def refuse_others(self, lines: list[str]) -> None:
        """Raise DistributedError, in all workers, where one has another definition than the root."""
        checksum = definition.checksum(lines)
        sums = self._all_gather(checksum)
        if len(set(sums)) == 1:
            return
        root = self.broadcast(lines)
        differences = self._all_gather(definition.difference(lines, root))
        rank = next(rank for rank, text in enumerate(differences) if text)
        raise DistributedError(
            f"{self._name(rank)} has another net or solver than worker 0: {differences[rank]}",
            fix="Give every worker the same files and flags",
        )

    def remember(self, solver: Solver) -> None:
        """Keep what a snapshot of this iteration's start takes, for when a worker is lost before its end."""
        self._remembered = (solver.iter, snapshot.worker_state(solver))

    def report(self, error: BaseException) -> None:
        """Tell the others why this worker ends."""
        first = not isinstance(error, DistributedError)
        with contextlib.suppress(RuntimeError):
            self._store.set(f"ended/{self.rank}", json.dumps({"first": first, "why": _first_line(error)}))

    # Losses

    def lost(self, error: BaseException) -> NoReturn:
        """Raise DistributedError naming who was lost, after a snapshot where there is something to save."""
        deadline = time.monotonic() + 2
        while not (ended := self._ended()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if ended:
            rank = min(ended)
            message = f"{self._name(rank)} {ended[rank]}"
        else:
            message = f"A worker was lost, or did not answer within {self.timeout:g} s: {_first_line(error)}"
        solver = self._solver
        if solver is not None:
            message += f"; training stopped in iteration {solver.iter}"
        saved = self._rescue(set(ended))
        raised = DistributedError(
            message, fix=saved or "Start all workers again with --resume=auto to go on from the last snapshot"
        )
        self.report(raised)
        raise raised from error

    def _ended(self) -> dict[int, str]:
        """Workers that are known to have ended first, and how."""
        told = {}
        for rank in range(self.count):
            with contextlib.suppress(RuntimeError, ValueError):
                if self._store.check([f"ended/{rank}"]):
                    told[rank] = json.loads(self._store.get(f"ended/{rank}"))
        ended = {rank: f"stopped: {t['why']}" for rank, t in told.items() if t["first"]}
        for rank, peer in enumerate(self._peers):
            if (
                rank not in told
                and peer["host"] == self._peers[self.rank]["host"]
                and not systems.lives(peer["pid"])
            ):
                ended[rank] = "was lost: its process has ended"
        return ended

    def _rescue(self, ended: set[int]) -> str:
        """Write a snapshot, in the first worker left on the root's host; returns what to tell."""
        solver = self._solver
        if solver is None or solver.iter == self._start_iter:
            return ""
        hosts = [peer["host"] for peer in self._peers]
        if self.rank != next((r for r in range(self.count) if hosts[r] == hosts[0] and r not in ended), None):
            return ""
        states: list[snapshot.State | None] = [None] * self.count
        then, state = self._remembered or (-1, {})
        states[self.rank] = state if then == solver.iter else snapshot.worker_state(solver)
        try:
            _, path = snapshot.write(solver, states)
        except CaffeError as error:
            logs.error(f"No snapshot could be written after the loss of a worker: {error}")
            return ""
        logs.error(f"A worker was lost; snapshot of iteration {solver.iter} written to {path}")
        return f"Start all workers again with --resume=auto to go on from {path}"

    def _name(self, rank: int) -> str:
        peer = self._peers[rank]
        return f"Worker {rank} (process {peer['pid']} on {peer['host']})"

    def _all_gather(self, value: Any) -> list[Any]:
        """Every worker's value, through JSON."""
        text = json.dumps(value, default=float).encode()
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(text)]), group=self._control)
        longest = max(int(size) for size in sizes)
        own = torch.zeros(longest, dtype=torch.uint8)
        own[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        gathered = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(gathered, own, group=self._control)
        return [json.loads(bytes(t[: int(n)].tolist())) for t, n in zip(gathered, sizes)]


def _store_at(place: Place, limit: timedelta) -> Any:
    """The torch.distributed Store that workers meet at.

    Asked for in a thread, as torch waits without end for a stranger that took the port.
    Raises RuntimeError, ValueError, OSError.
    """
    made: Future[Any] = Future()

    def meet() -> None:
        try:
            made.set_result(next(iter(rendezvous(place.meeting, place.rank, place.count, timeout=limit)))[0])
        except Exception as error:
            made.set_exception(error)

    threading.Thread(target=meet, name="caffe-meeting", daemon=True).start()
    try:
        return made.result(limit.total_seconds() + 2)
    except FutureTimeoutError:
        raise RuntimeError("who has that port does not answer as the root would") from None


def _address(place: Place) -> str:
    if place.meeting != "env://":
        return place.meeting
    return f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
