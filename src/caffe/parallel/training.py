"""What ``caffe train`` does in each worker: join the others, start from the same state, train, part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from caffe import logs, runtime
from caffe.errors import DistributedError
from caffe.parallel import definition
from caffe.parallel.gradients import BUCKET_BYTES, GradientReducer
from caffe.parallel.group import Group
from caffe.parallel.launch import end_with_the_parent
from caffe.parallel.place import Place
from caffe.solvers import snapshot

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver


def become(place: Place) -> None:
    """Make this process the worker: its rank and count, errors only from all but the root."""
    end_with_the_parent()
    runtime.set_solver_count(place.count)
    runtime.set_solver_rank(place.rank)
    runtime.set_multiprocess(True)
    if place.rank:
        logs.init_log(max(logs.minimum_level(), logs.ERROR))


def device_of(place: Place, ids: list[int]) -> int:
    """The device of this worker among those of its host. Raises DistributedError where there are too few."""
    if place.local_rank >= len(ids):
        raise DistributedError(
            f"Worker {place.rank} is number {place.local_rank} on its host, but there are only {len(ids)}"
            " device(s) for the workers there",
            fix=f"Start at most {len(ids)} worker(s) a host (torchrun --nproc-per-node={len(ids)})",
        )
    return ids[place.local_rank]


@contextmanager
def joined(place: Place, timeout: float) -> Iterator[Group]:
    """The group of workers, within a ``with`` block; the others learn of an error that ends it."""
    group = Group(place, timeout)
    try:
        yield group
    except BaseException as error:
        group.report(error)
        if isinstance(
            error, DistributedError
        ):  # an error of this worker's own may come while others are waited for
            group.abandon()
        raise
    group.close()


def common_seed(group: Group, seed: int) -> int:
    """``seed``, or one that the root draws where it is negative: shuffled data must be shuffled the same."""
    return seed if seed >= 0 else int(group.broadcast(int.from_bytes(os.urandom(4), "little") >> 1))


def start_together(
    group: Group, solver: Solver, resumed: str, compression: str = "", bucket_bytes: int = BUCKET_BYTES
) -> None:
    """Bring all workers to the root's state, and average gradients from now on.

    The root has loaded weights or restored the state ``resumed`` by then; the others need not see those files.
    Raises DistributedError where a worker has another definition.
    """
    group.refuse_others(definition.lines(solver))
    extra = snapshot.read_extra(resumed) if resumed and group.rank == 0 else None
    state = group.broadcast(
        {"iter": solver.iter, "step": solver.policy.current_step, "extra": extra, "resumed": resumed}
    )
    device = runtime.device()
    blobs = [blob.data_memory for step in solver.net.steps for blob in step.layer.blobs]
    history = solver.update.history if state["iter"] else []
    group.broadcast_tensors([memory.mutable_on(device) for memory in (*blobs, *history)])
    if group.rank:
        solver.iter, solver.policy.current_step = state["iter"], state["step"]
        if state["extra"] is not None:
            snapshot.apply_extra(solver, state["extra"], state["resumed"])
    group.attach(solver)
    reducer = GradientReducer(solver, group, compression, bucket_bytes)
    solver.add_callback(reducer)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(reducer)
    backend = "NCCL" if group.backend == "nccl" else "gloo"
    logs.info(
        f"Training with {group.count} workers over {backend}; each iteration takes {group.count} batches"
    )
