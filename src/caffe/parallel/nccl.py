"""NCCL: pycaffe's way to train with several processes, one a device."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from caffe import runtime
from caffe.errors import InputError
from caffe.parallel import definition
from caffe.parallel.gradients import GradientReducer
from caffe.parallel.group import Group
from caffe.parallel.place import Place

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver


class NCCL(GradientReducer):
    """Averages the gradients of ``caffe.solver_count()`` processes, of which this is ``caffe.solver_rank()``.

    ::

        solver = caffe.SGDSolver(proto)
        nccl = caffe.NCCL(solver, uid)     # uid = caffe.NCCL.new_uid(), the same in all processes
        nccl.bcast()                       # start from rank 0's weights
        solver.add_callback(nccl)
        if solver.param.layer_wise_reduce:
            solver.net.after_backward(nccl)
        solver.step(solver.param.max_iter)

    Over NCCL in GPU mode, over gloo on CPUs; Python layers work in both. ``timeout`` is how many seconds a worker
    waits for the others before it gives up. Raises DistributedError.
    """

    def __init__(self, solver: Solver, uid: bytes | str, timeout: float = 600.0) -> None:
        meeting = os.fsdecode(uid) if isinstance(uid, (bytes, str)) else ""
        if "://" not in meeting:
            raise InputError(
                f"The uid must be what caffe.NCCL.new_uid() gave; got {uid!r}",
                fix="Make it once and hand it to every process",
            )
        place = Place(runtime.solver_rank(), runtime.solver_count(), runtime.solver_rank(), meeting)
        if place.rank >= place.count:
            raise InputError(
                f"The solver rank must be less than the solver count, {place.count}; got {place.rank}",
                fix="Call caffe.set_solver_count(n) and caffe.set_solver_rank(r) before the solver is made",
            )
        self._workers = Group(place, timeout)
        super().__init__(solver, self._workers)
        self._workers.attach(solver)

    @staticmethod
    def new_uid() -> bytes:
        """Where the processes of one training run on this machine meet: a URL of torch.distributed.

        For several machines pass ``tcp://<rank 0's address>:<free port>`` as the uid instead, as bytes or str.
        """
        folder = tempfile.mkdtemp(prefix="caffe-nccl-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return os.fsencode(f"file://{folder}/meeting")

    def bcast(self) -> None:
        """Give every process rank 0's parameters. Raises DistributedError where nets or solvers differ."""
        solver = self._solver
        self._workers.refuse_others([*definition.lines(solver), f"iteration {solver.iter}"])
        device = runtime.device()
        self._workers.broadcast_tensors(
            [blob.data_memory.mutable_on(device) for step in solver.net.steps for blob in step.layer.blobs]
        )
