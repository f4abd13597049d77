"""GradientReducer: averages the gradients of all workers, in buckets, while backward still runs.

Parameters are packed into buckets in the order in which backward completes them. A bucket is reduced as soon as
the layer that adds the last contribution to it has run (a parameter that layers share is complete when the first
of them has), in the background, so that the network works while the layers below compute (Li et al. 2020,
"PyTorch Distributed").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from caffe import runtime
from caffe.errors import InputError
from caffe.memory import Memory
from caffe.parallel.group import Group
from caffe.solvers.callbacks import Callback

if TYPE_CHECKING:
    from caffe.net.sharing import Param
    from caffe.solvers.solver import Solver

BUCKET_BYTES = 25 << 20
"""How much is reduced at once; as in torch's DistributedDataParallel."""
COMPRESSIONS = {"": torch.float32, "bf16": torch.bfloat16}
"""What gradients travel as."""


@dataclass
class Bucket:
    """Gradients that travel together, once backward has run layer ``ready_at``."""

    memories: list[Memory] = field(default_factory=list)
    count: int = 0
    ready_at: int = 0
    buffer: torch.Tensor | None = None
    work: Any = None


class GradientReducer(Callback):
    """Averages gradients; a callback of the solver and, with ``layer_wise_reduce``, a hook of its net.

    ``solver.add_callback(reducer)`` reduces after backward; ``solver.net.after_backward(reducer)`` too, during
    it. With ``iter_size`` only the sums of the last pass travel. ``compression`` "bf16" halves the bytes: each
    worker's gradients are rounded to 8 significant bits, the average is kept in float32.
    """

    def __init__(
        self, solver: Solver, group: Group, compression: str = "", bucket_bytes: int = BUCKET_BYTES
    ) -> None:
        if compression not in COMPRESSIONS:
            raise InputError(f"The compression of gradients must be 'bf16' or none; got '{compression}'")
        self._solver = solver
        self._group = group
        self._type = COMPRESSIONS[compression]
        self.buckets = pack(solver, max(1, bucket_bytes))
        self._last_layer = len(solver.net.steps) - 1
        self._passes = 0
        self._launched = 0
        self._running = False

    def on_start(self, solver: Solver) -> None:
        self._passes = self._launched = 0
        self._running = True
        self._group.remember(solver)

    def __call__(self, layer: int) -> None:
        """After the backward of a layer: reduce what is complete now."""
        if not self._running or self._solver.param.debug_info:  # which shows this worker's own gradients
            return
        if layer == self._last_layer:
            self._passes += 1
        if self._passes < self._solver.param.iter_size:
            return
        while self._launched < len(self.buckets) and self.buckets[self._launched].ready_at >= layer:
            self._launch()

    def on_gradients_ready(self, solver: Solver) -> None:
        while self._launched < len(self.buckets):
            self._launch()
        for bucket in self.buckets:
            self._group.wait(bucket.work)
            bucket.work = None
            self._put_back(bucket)
        self._running = False

    def _launch(self) -> None:
        bucket = self.buckets[self._launched]
        self._launched += 1
        device = runtime.device()
        grads = [memory.mutable_on(device) for memory in bucket.memories]
        if len(grads) == 1 and grads[0].dtype == self._type and grads[0].is_contiguous():
            bucket.buffer = grads[0]  # travels as it is
        else:
            if bucket.buffer is None or bucket.buffer.device != device or bucket.buffer.dim() != 1:
                bucket.buffer = torch.empty(bucket.count, dtype=self._type, device=device)
            for part, grad in zip(_parts(bucket, bucket.buffer), grads):
                part.copy_(grad)
        bucket.work = self._group.reduce(bucket.buffer)

    def _put_back(self, bucket: Bucket) -> None:
        """The averages into the parameters' diffs."""
        buffer = bucket.buffer
        if buffer is None:
            return
        total = buffer.float() if self._type != torch.float32 else buffer
        total.mul_(1 / self._group.count)
        if len(bucket.memories) == 1 and buffer is bucket.memories[0].on(buffer.device):
            bucket.buffer = None
            return
        for memory, part in zip(bucket.memories, _parts(bucket, total)):
            if memory.exposed:
                memory.write(part)
            else:
                memory.bind(part)


def _parts(bucket: Bucket, buffer: torch.Tensor) -> list[torch.Tensor]:
    """A bucket's buffer as tensors of its gradients' shapes."""
    sizes = [torch.Size(memory.shape).numel() for memory in bucket.memories]
    return [part.view(memory.shape) for part, memory in zip(buffer.split(sizes), bucket.memories)]


def pack(solver: Solver, bucket_bytes: int) -> list[Bucket]:
    """Buckets in the order in which they get ready, the same in all workers."""
    ready = _ready_at(solver)
    learning = [param for param in reversed(solver.net.learnable) if param.lr_mult != 0]
    learning.sort(key=lambda param: -ready[id(param)])
    buckets: list[Bucket] = []
    for param in learning:
        count = param.blob.count
        last = buckets[-1] if buckets else None
        if last is None or 4 * (last.count + count) > bucket_bytes:
            last = Bucket()
            buckets.append(last)
        last.memories.append(param.blob.diff_memory)
        last.count += count
        last.ready_at = ready[id(param)]
    return buckets


def _ready_at(solver: Solver) -> dict[int, int]:
    """Learnable parameter → the layer whose backward adds its last contribution."""
    learnable = solver.net.learnable
    by_blob: dict[int, Param] = {id(param.blob): param for param in learnable}
    by_name = {param.name: param for param in learnable if param.name}
    ready = {id(param): 0 for param in learnable}
    for i in reversed(range(len(solver.net.steps))):
        layer = solver.net.steps[i].layer
        specs = layer.param.param
        for k, blob in enumerate(layer.blobs):
            param = by_blob.get(id(blob)) or by_name[specs[k].name]
            ready[id(param)] = i
    return ready
