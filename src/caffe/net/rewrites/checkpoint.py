"""Training in less memory: forward keeps the blobs between groups of layers, backward computes the others again.

With groups of √n of a net's n layers, as here, about 2·√n instead of n layers' values are kept, for one more forward
(Chen et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import replace

from caffe.blob import Blob
from caffe.layer import Keep
from caffe.net.loss import Loss, total
from caffe.net.run import liveness
from caffe.net.run.mode import Mode
from caffe.net.run.op import Op
from caffe.net.run.plan import Part, Runner
from caffe.net.run.trace import begin, values_of
from caffe.net.wiring import Wiring
from caffe.tensor_layer import TensorLayer

_FIX = "Train without --checkpoint_activations to read it"


class CheckpointGroup:
    """Ops that keep nothing, and that backward runs again from the values there were before them."""

    title = "between checkpoints"

    def __init__(
        self, ops: Sequence[Op], hidden: Sequence[tuple[str, Blob]], inputs: Container[Blob]
    ) -> None:
        self._keeping = ops
        self.ops = [replace(op, keep=Keep.NOTHING, rewrites=(*op.rewrites, Checkpoint.name)) for op in ops]
        self._hidden = hidden
        self._enters = liveness.entering(liveness.steps_of(ops))
        self._inputs = inputs

    def notes(self, op: Op) -> str:
        return ""

    def forward(self, runner: Runner) -> Loss:
        """Run the ops, and free the blobs between them."""
        segment = begin(self._keeping, values_of(self._enters, self._inputs), self._hidden)
        segment.checkpointed, segment.free = True, self.free
        losses = [runner.run(op, segment) for op in self.ops]
        self.free()
        return total(losses)

    def free(self) -> None:
        """Free the blobs between the ops, and their gradients."""
        for name, blob in self._hidden:
            why = f"'{name}' is between two checkpoints: its values are only there during backward"
            blob.data_memory.free(why, _FIX)
            if blob not in self._enters:  # else a group in front needs its diff
                blob.diff_memory.free(why, _FIX)


class Checkpoint:
    """See the module."""

    name = "checkpoint"

    def applies(self, mode: Mode) -> bool:
        return mode.checkpointing and mode.whole and not (mode.inference or mode.compiled)

    def __call__(self, parts: list[Part], wiring: Wiring, mode: Mode) -> list[Part]:
        size = max(math.isqrt(len(wiring.steps)), 2)
        groups: list[list[Op]] = []
        for op in parts:
            if not isinstance(op, Op):
                raise TypeError("Groups are made of what runs by itself")
            alone = not _runs_again(op)
            if alone or not groups or not _runs_again(groups[-1][-1]) or _count(groups[-1]) >= size:
                groups.append([])
            groups[-1].append(op)
        stay = liveness.shown(wiring)
        for ops in groups:
            if not _runs_again(ops[0]):  # data, Python
                stay.update((*ops[0].bottom, *ops[0].top))
        rewritten: list[Part] = []
        for ops in groups:
            if not _runs_again(ops[0]):
                rewritten += ops
                continue
            later = liveness.read(wiring.steps[ops[-1].places[-1] + 1 :])
            inside = liveness.written(liveness.steps_of(ops))
            hidden = [(name, blob) for blob, name in inside.items() if blob not in later | stay]
            rewritten.append(CheckpointGroup(ops, hidden, wiring.input_blobs))
        return rewritten


def _runs_again(op: Op) -> bool:
    """Whether it can run again: a function of tensors."""
    return isinstance(op.layer, TensorLayer) or op.layer.type == "Split"


def _count(ops: Sequence[Op]) -> int:
    return sum(len(op.steps) for op in ops)
