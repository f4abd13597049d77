"""Training in less memory: forward keeps the blobs between groups of layers, backward computes the others again.

With groups of √n of a net's n layers, as here, about 2·√n instead of n layers' values are kept, for one more forward
(Chen et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from caffe import runtime
from caffe.blob import Blob
from caffe.net.loss import Loss, total
from caffe.precision import autocast
from caffe.tensor_layer import TensorLayer

if TYPE_CHECKING:
    from caffe.net.net import Net
    from caffe.net.wiring import Step


@dataclass
class Group:
    """Layers ``start`` to before ``stop``, and what was there before they ran."""

    start: int
    stop: int
    inputs: list[Blob] = field(default_factory=list)
    freed: list[tuple[str, Blob]] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)
    rng_states: list[torch.Tensor] = field(default_factory=list)


class Checkpointing:
    """Forward and backward of a whole net in groups of layers."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._plan = _groups(net)

    def forward(self) -> Loss:
        """Run the net; returns the loss."""
        losses: list[Loss] = []
        for part in self._plan:
            if isinstance(part, int):
                losses.append(self._net.forward_step(part))
                continue
            part.values = [b.tensor for b in part.inputs]
            part.rng_states = _rng_states()
            self._keep_graphs(part, False)
            losses += [self._net.forward_step(i) for i in range(part.start, part.stop)]
            _free(part)
        return total(losses)

    def backward(self) -> None:
        """Run backward through the whole net, computing each group's forward again first."""
        for part in reversed(self._plan):
            if isinstance(part, int):
                self._net.backward_step(part)
                continue
            if any(self._net.steps[i].needs_backward for i in range(part.start, part.stop)):
                self._again(part)
            for i in range(part.stop - 1, part.start - 1, -1):
                self._net.backward_step(i)
            self._keep_graphs(part, False)
            _free(part)
            part.values = []

    def _keep_graphs(self, group: Group, keep: bool) -> None:
        for step in self._net.steps[group.start : group.stop]:
            if isinstance(step.runs, TensorLayer):
                step.runs.inference = not keep
                step.runs.release()

    def _again(self, group: Group) -> None:
        """Run the group's layers from the values there were, now for backward."""
        for blob, value in zip(group.inputs, group.values):
            if blob.data_memory.freed or blob.tensor is not value:
                blob.data_memory.bind(value)
        steps = self._net.steps[group.start : group.stop]
        statistics = [(tensor, tensor.clone()) for tensor in _statistics(steps)]
        self._keep_graphs(group, True)
        device = runtime.device()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), autocast(device):
            torch.set_rng_state(group.rng_states[0])
            if device.type == "cuda":
                torch.cuda.set_rng_state(group.rng_states[1], device)
            for step in steps:
                step.runs.forward(step.bottom, step.top)
        for tensor, before in statistics:
            tensor.copy_(before)


def _rng_states() -> list[torch.Tensor]:
    device = runtime.device()
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _free(group: Group) -> None:
    for name, blob in group.freed:
        blob.data_memory.free(
            f"'{name}' is between two checkpoints: its values are only there during backward",
            fix="Train without --checkpoint_activations to read it",
        )
        if all(blob is not before for before in group.inputs):  # else a group in front needs its diff
            blob.diff_memory.free("")
            blob.diff_memory.renew()


def _statistics(steps: Sequence[Step]) -> list[torch.Tensor]:
    """The parameters that forward itself changes."""
    return [
        blob.tensor
        for step in steps
        if isinstance(step.layer, TensorLayer)
        for blob, spec in zip(step.layer.blobs, step.layer.specs)
        if not spec.learns
    ]


def _groups(net: Net) -> list[int | Group]:
    """The net as groups of layers that can be run again, and single ones that cannot (data, Python)."""
    size = max(math.isqrt(len(net.steps)), 2)
    plan: list[int | Group] = []
    for i, step in enumerate(net.steps):
        if not isinstance(step.layer, TensorLayer) and step.layer.type != "Split":
            plan.append(i)
        elif plan and isinstance(plan[-1], Group) and plan[-1].stop - plan[-1].start < size:
            plan[-1].stop = i + 1
        else:
            plan.append(Group(i, i + 1))
    kept = {id(net.blobs[name]) for name in (*net.inputs, *net.outputs)}
    for part in plan:
        if isinstance(part, int):
            step = net.steps[part]
            kept |= {id(b) for b in (*step.bottom, *step.top)}
            continue
        inside: dict[int, tuple[str, Blob]] = {}
        outside: dict[int, Blob] = {}
        for step in net.steps[part.start : part.stop]:
            outside.update((id(b), b) for b in step.bottom if id(b) not in inside)
            inside.update((id(b), (name, b)) for name, b in zip(step.top_names, step.top))
            kept |= {id(b) for b, weight in zip(step.top, step.loss_weights) if weight}
        later = {id(b) for step in net.steps[part.stop :] for b in step.bottom}
        part.inputs = list(outside.values())
        part.freed = [found for key, found in inside.items() if key not in later | kept]
    return plan
