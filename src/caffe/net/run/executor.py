"""The executor: runs plans forward, notes in the trace what they kept, and runs backward from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from caffe import deferred, runtime
from caffe.errors import StateError
from caffe.net import footprint, loss
from caffe.net.failures import explained
from caffe.net.loss import Loss
from caffe.net.run import plan
from caffe.net.run.mode import Mode
from caffe.net.run.op import Op, plain
from caffe.net.run.plan import Plan, Rewrite
from caffe.net.run.trace import Entry, Segment, Trace, begin, values_of
from caffe.net.step import Step
from caffe.net.turns import Turn
from caffe.net.wiring import Wiring
from caffe.precision import autocast

Hooks = Mapping[str, Sequence[Callable[[int], Any]]]

_STOPPED = "the last forward pass stopped before it was computed"
_STOPPED_FIX = "Let a forward pass reach its layer"


class Executor:
    """Runs a net's steps by plans that ``rewrites`` change.

    ``hooks`` has four lists of functions of a step's place; ``turn`` keeps threads apart.
    """

    def __init__(
        self, wiring: Wiring, name: str, hooks: Hooks, turn: Turn, rewrites: Sequence[Rewrite]
    ) -> None:
        self.name = name
        self.trace = Trace(len(wiring.steps))
        self._wiring = wiring
        self._steps = wiring.steps
        self._hooks = hooks
        self._turn = turn
        self._rewrites = rewrites
        self._mode = Mode()
        self._plans: dict[object, Plan] = {}
        self._loss_scale = 1.0
        self._frees_diffs = self._watching = False

    # Plans

    @property
    def mode(self) -> Mode:
        """What the net's switches say."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode != self._mode:
            self._mode = mode
            self.forget_plans()

    def forget_plans(self) -> None:
        """Let go of plans, and of what was made for them."""
        self._plans.clear()
        self._wiring.made.clear()

    def plan(self, start: int = 0, stop: int | None = None, also: frozenset[str] = frozenset()) -> Plan:
        """The plan for the next forward of some steps; ``also`` names more blobs that stay."""
        stop = len(self._steps) if stop is None else stop
        device, watched = runtime.device().type, self._watched
        if not self._mode.inference:
            also = frozenset()
        key = (start, stop, also, device, watched)
        known = self._plans.get(key)
        if known is None:
            known = self._plans[key] = self._make(start, stop, also)
        return known

    def _make(self, start: int, stop: int, also: frozenset[str]) -> Plan:
        mode = self._mode.now(
            also, (start, stop) == (0, len(self._steps)), self._watched, runtime.device().type
        )
        if mode.whole:
            self.check_memory()
        return plan.make(self._wiring, mode, start, stop, self._rewrites)

    def check_memory(self) -> None:
        """Raise NetError where memory cannot hold the blobs and parameters of a forward that keeps them all."""
        mode = self._mode
        if not (mode.inference or mode.checkpointing or mode.compiled):
            footprint.check_forward(self._steps, self._wiring.file)

    @property
    def _watched(self) -> bool:
        return any(self._hooks.values())

    # Forward

    def forward(self, start: int, stop: int, also: frozenset[str] = frozenset()) -> Loss:
        """Run the steps from ``start`` to before ``stop``; the loss stays on the device."""
        deferred.raise_arrived()
        plan = self.plan(start, stop, also)
        self.trace.forget(start, stop)
        if self._frees_diffs and not plan.mode.checkpointing:
            for step in self._steps:
                for blob in step.top:
                    blob.diff_memory.renew()
        self._frees_diffs, self._watching = plan.mode.checkpointing, plan.mode.watched
        with deferred.checking(self._wiring.file), torch.no_grad(), autocast(runtime.device()):
            if not plan.mode.watched:  # hooks may look at what there is
                for blob in plan.renews:
                    if blob.data_memory.allocated:
                        blob.data_memory.free(_STOPPED, _STOPPED_FIX)
            segment = self._begin(plan) if plan.replays else None
            return loss.total(
                [
                    self.run(part, segment) if isinstance(part, Op) else part.forward(self)
                    for part in plan.parts
                ]
            )

    def _begin(self, plan: Plan) -> Segment:
        segment = begin(plan.replays, values_of(plan.enters, self._wiring.input_blobs), plan.hidden)
        self.remember(segment)
        return segment

    def remember(self, segment: Segment) -> None:
        """Let the freed blobs of a segment be computed again."""
        segment.restore = partial(self._restore, segment)

    def run(self, op: Op, segment: Segment | None = None) -> Loss:
        """Run an op's forward; returns its part of the loss."""
        if self._watching:
            self._call("before_forward", op)
        for blob in op.fresh:
            blob.data_memory.renew()
        try:
            kept = op.layer.forward_keeping(op.bottom, op.top, op.keep)
        except Exception as error:
            raise explained(error, self._wiring.file, op.steps[0], "forward") from error.__cause__
        entry = Entry(op, kept, segment)
        for place in op.places:
            self.trace.entries[place] = entry
        part = loss.total([self.loss_of(step) for step in op.losing]) if op.losing else 0.0
        if self._watching:
            self._call("after_forward", op)
        for name, blob in op.frees:
            if not blob.data_memory.freed:
                self._free(name, blob, op, segment)
        return part

    def _call(self, when: str, op: Op) -> None:
        for hook in self._hooks[when]:
            hook(op.places[0])

    @staticmethod
    def _free(name: str, blob: Any, op: Op, segment: Segment | None) -> None:
        blob.data_memory.free(
            f"its values were freed after layer '{op.steps[-1].name}', the last to need them (inference mode)",
            f"Name it: net.forward(blobs=['{name}']) or net.set_inference(keep=['{name}']);"
            " or net.set_inference(False)",
            segment.restore if segment is not None else None,
        )

    def loss_of(self, step: Step) -> Loss:
        """A step's part of the loss: the values of its tops times their weights."""
        return loss.loss_of(step, self._loss_scale)

    def set_loss_scale(self, scale: float) -> None:
        """Multiply all gradients by a factor from now on; losses are shown without it."""
        if scale != self._loss_scale:
            self._loss_scale = scale
            loss.set_scale(self._steps, scale)

    # What was not kept

    def _restore(self, segment: Segment) -> None:
        """Give a segment's freed blobs their values again."""
        with self._turn:
            values, _ = segment.run(len(self._steps))
            for blob, value in values.items():
                memory = blob.data_memory
                if memory.freed and memory.restore is segment.restore and memory.shape == value.shape:
                    blob.bind(value)

    def _revive(self, segment: Segment, until: int) -> None:
        """Run a segment again, up to a place, so that the trace has what its ops keep."""
        values, entries = segment.run(until, keep=True)
        segment.live = True
        for _, blob in segment.hidden:
            blob.diff_memory.renew()
        for entry in entries:
            self.trace.replace(entry, segment)
        last = {blob: op.places[-1] for op in segment.ops for blob in op.top}
        for _, blob in segment.hidden:
            memory = blob.data_memory
            final = last.get(blob, -1) <= until  # not overwritten in place later
            if (
                final
                and memory.freed
                and memory.restore is segment.restore
                and memory.shape == values[blob].shape
            ):
                blob.bind(values[blob])

    def _settle(self, segment: Segment) -> None:
        """Let go of what a segment kept for a backward that is through."""
        segment.live = False
        for op in segment.ops:
            self.trace.replace(Entry(op, None, segment), segment)
        if segment.free is not None:
            segment.free()

    def _split(self, entry: Entry) -> None:
        """Have each step of an op in the trace by itself."""
        op, kept = entry.op, entry.kept
        if kept is None:
            entries = [
                Entry(plain(step, place), None, entry.segment) for step, place in zip(op.steps, op.places)
            ]
        else:
            inputs = kept.graph[0] if kept.graph is not None else kept.inputs
            values = {blob: x.detach() for blob, x in zip(op.bottom, inputs)}
            ops = [plain(step, place) for step, place in zip(op.steps, op.places)]
            _, entries = Segment(ops, values, amp=runtime.amp()).run(op.places[-1], keep=True)
        for each in entries:
            self.trace.replace(Entry(each.op, each.kept, entry.segment), entry)

    # Backward

    def backward(self, start: int, end: int) -> None:
        """Run backward by place, from ``start`` down to ``end``, of the forwards that the trace has."""
        self._refuse(start, end)
        alive: list[Segment] = []
        watched, place = self._watched, start
        try:
            # (autograd's threads for devices serve graphs; one hand-over a layer costs more than the layer's calls)
            with torch.no_grad(), torch.autograd.set_multithreading_enabled(False):
                while place >= end:
                    entry = self.trace.entries[place]
                    if entry is None or entry.segment is not None or len(entry.op.places) > 1:
                        entry = self._entry(place, end, watched, alive)
                    op = entry.op
                    if watched:
                        self._call("before_backward", op)
                    if op.needs_backward:
                        self._run_back(op, entry.kept)
                    if watched:
                        self._call("after_backward", op)
                    place = op.places[0] - 1
                    while alive and alive[-1].ops[0].places[0] > place:
                        self._settle(alive.pop())
        finally:
            for segment in alive:
                self._settle(segment)

    def _refuse(self, start: int, end: int) -> None:
        entries = [
            entry
            for entry in self.trace.entries[end : start + 1]
            if entry is not None and (entry.segment is not None or entry.op.forgets)
        ]
        if not entries:
            return
        if any(entry.op.forgets for entry in entries):
            raise StateError(
                "A net in inference mode keeps nothing that backward needs",
                file=self._wiring.file,
                fix="Call net.set_inference(False), then forward again",
            )
        part = (start, end) != (len(self._steps) - 1, 0)
        if part and any(entry.segment is not None and entry.segment.checkpointed for entry in entries):
            raise StateError(
                "Backward with checkpoints must be of the whole net; got a part of it",
                file=self._wiring.file,
                fix="Call net.set_checkpointing(False), then forward again",
            )

    def _entry(self, place: int, end: int, watched: bool, alive: list[Segment]) -> Entry:
        """The trace's entry for a step, with what was kept; of several steps where all of them are wanted."""
        entries = self.trace.entries
        entry = entries[place]
        if entry is None:
            return Entry(plain(self._steps[place], place))
        segment = entry.segment
        if segment is not None and not segment.live:
            if not any(self._steps[k].needs_backward for k in range(end, place + 1)):
                return Entry(plain(self._steps[place], place))
            self._revive(segment, place)
            alive.append(segment)
            entry = entries[place] or entry
        places = entry.op.places
        if len(places) > 1:
            inside = end <= places[0] and places[-1] == place
            if not inside or watched or any(entries[k] is not entry for k in places):
                self._split(entry)
                entry = entries[place] or entry
        return entry

    def _run_back(self, op: Op, kept: Any) -> None:
        step = op.steps[0]
        try:
            op.layer.backward_from(kept, op.top, step.propagate_down, op.bottom)
        except Exception as error:
            raise explained(error, self._wiring.file, step, "backward") from error.__cause__
