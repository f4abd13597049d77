"""Plan: what a forward runs, as a list of ops; a function of the net and the mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from caffe.blob import Blob
from caffe.net.loss import Loss
from caffe.net.run import liveness
from caffe.net.run.mode import Mode
from caffe.net.run.op import Op, plain
from caffe.net.run.trace import Segment, Trace
from caffe.net.step import Step
from caffe.net.wiring import Wiring
from caffe.tensor_layer import TensorLayer


class Runner(Protocol):
    """What groups of ops run their ops with."""

    name: str
    """The net's."""
    trace: Trace

    def run(self, op: Op, segment: Segment | None = None) -> Loss:
        """Run an op's forward; returns its part of the loss."""

    def loss_of(self, step: Step) -> Loss:
        """A step's part of the loss, its forward having run."""

    def remember(self, segment: Segment) -> None:
        """Let the freed blobs of a segment be computed again."""


class Group(Protocol):
    """Ops that run together."""

    @property
    def ops(self) -> Sequence[Op]:
        """The ops, in order."""

    @property
    def title(self) -> str:
        """What they run as."""

    def notes(self, op: Op) -> str:
        """What else an op has become, where it has."""

    def forward(self, runner: Runner) -> Loss:
        """Run them; returns their part of the loss."""


Part = Op | Group


class Rewrite(Protocol):
    """A change of plan that makes a net faster or smaller, and no other."""

    @property
    def name(self) -> str:
        """In two or three words."""

    def applies(self, mode: Mode) -> bool:
        """Whether it is for such a mode."""

    def __call__(self, parts: list[Part], wiring: Wiring, mode: Mode) -> list[Part]:
        """The parts, changed."""


@dataclass(frozen=True)
class Plan:
    """What one forward runs."""

    mode: Mode
    start: int
    """The place of the first step."""
    stop: int
    """The place behind the last one."""
    parts: Sequence[Part]
    replays: Sequence[Op] = ()
    """The ops that compute what is freed again; none where nothing can."""

    renews: list[Blob] = field(init=False)
    """What is made anew: the old values are freed before."""
    enters: list[Blob] = field(init=False)
    """What is read from outside."""
    hidden: list[tuple[str, Blob]] = field(init=False)
    """What is freed, with its names."""

    def __post_init__(self) -> None:
        ops = self.ops
        steps = liveness.steps_of(ops)
        object.__setattr__(self, "renews", _made_anew(steps))
        object.__setattr__(self, "enters", liveness.entering(steps))
        object.__setattr__(self, "hidden", [freed for op in ops for freed in op.frees])

    @property
    def ops(self) -> list[Op]:
        """All ops in order, those of groups too."""
        return ops_of(self.parts)

    def __str__(self) -> str:
        return shown(self)


def make(wiring: Wiring, mode: Mode, start: int, stop: int, rewrites: Sequence[Rewrite]) -> Plan:
    """The plan for running the steps from ``start`` to before ``stop``."""
    parts: list[Part] = [plain(wiring.steps[i], i) for i in range(start, stop)]
    repeatable = all(op.repeatable for op in ops_of(parts))
    mode = mode if repeatable else replace(mode, recompute=False)
    for rewrite in rewrites:
        if rewrite.applies(mode):
            parts = rewrite(parts, wiring, mode)
    replays: Sequence[Op] = ()
    if mode.inference and mode.recompute:
        training = replace(mode, inference=False, checkpointing=False, compiled=False)
        replays = ops_of(make(wiring, training, start, stop, rewrites).parts)
    return Plan(mode, start, stop, parts, replays)


def ops_of(parts: Sequence[Part]) -> list[Op]:
    """All ops, those of groups too."""
    return [op for part in parts for op in ([part] if isinstance(part, Op) else part.ops)]


def _made_anew(steps: Sequence[Step]) -> list[Blob]:
    """What is new values each time: tops of layers of tensors; others may go on with what is there."""
    read: set[Blob] = set()  # before it is written: from outside
    anew: dict[Blob, None] = {}
    for step in steps:
        read.update(blob for blob in step.bottom if blob not in anew)
        if isinstance(step.layer, TensorLayer):
            anew.update((blob, None) for blob in step.top if blob not in read)
    return list(anew)


def shown(plan: Plan) -> str:
    """A plan as a table: op by op its layers, what they run as, what is kept and freed, and which rewrites did that."""
    rows = [("layers", "run as", "for backward", "freed after it", "rewrites")]
    for part in plan.parts:
        if isinstance(part, Op):
            rows.append(_row(part))
            continue
        rows.append((f"{part.title}:", "", "", "", ""))
        rows += [_row(op, part.notes(op), "  ") for op in part.ops]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines[:1], "-" * max(map(len, lines)), *lines[1:]])


Row = tuple[str, str, str, str, str]


def _row(op: Op, notes: str = "", indent: str = "") -> Row:
    kind = type(op.layer).__name__ if len(op.steps) > 1 else op.layer.type
    freed = ", ".join(name for name, _ in op.frees)
    rewrites = ", ".join([*op.rewrites, *([notes] if notes else [])])
    return indent + op.names, kind, op.keep.value, freed, rewrites
