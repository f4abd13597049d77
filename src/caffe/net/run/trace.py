"""Trace: what the forwards have kept, step by step; backward takes nothing else.

What a forward did not keep it may say how to get again: as a segment of ops with the values, the state and the random
numbers that they began with.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from caffe import runtime
from caffe.blob import Blob
from caffe.layer import Layer
from caffe.net.run.op import Op, State, Values
from caffe.precision import autocast
from caffe.randomness import RandomState, drawing_again, random_state


@dataclass(eq=False)
class Segment:
    """A forward of some ops that can be run once more, as it was."""

    ops: Sequence[Op]
    values: Values
    """Of the blobs that the ops read from outside."""
    states: dict[Layer, State] = field(default_factory=dict)
    random: RandomState | None = None
    amp: str = ""
    hidden: Sequence[tuple[str, Blob]] = ()
    """The blobs that it freed, with their names."""
    checkpointed: bool = False
    """Whether it is between two checkpoints."""
    free: Callable[[], None] | None = None
    """Frees its blobs again, once backward is through."""
    restore: Callable[[], None] | None = None
    """Gives its freed blobs their values again."""
    live: bool = False
    """Whether the trace has what its ops keep, just now."""

    def run(self, until: int, keep: bool = False) -> tuple[Values, list[Entry]]:
        """Run the ops that begin up to a place, on values; returns these, and entries with what was kept."""
        values, entries = dict(self.values), []
        drawing = nullcontext() if self.random is None else drawing_again(self.random)
        with torch.no_grad(), _precision(self.amp), autocast(runtime.device()), drawing:
            for op in self.ops:
                if op.places[0] > until:
                    break
                entries.append(Entry(op, op.again(values, self.states, keep), self))
        return values, entries


def values_of(blobs: Iterable[Blob], inputs: Container[Blob]) -> Values:
    """The values of blobs, to begin with again later.

    Copies of the net's inputs, and of what a view shows: a script may write the next batch there before backward comes.
    """
    return {
        blob: blob.tensor.clone() if blob in inputs or blob.data_memory.exposed else blob.tensor
        for blob in blobs
    }


def begin(ops: Sequence[Op], values: Values, hidden: Sequence[tuple[str, Blob]]) -> Segment:
    """The segment of a forward that is about to run."""
    states = {op.layer: op.state() for op in ops if op.stateful}
    random = random_state() if any(op.draws for op in ops) else None
    return Segment(ops, values, states, random, runtime.amp(), hidden)


class Entry(NamedTuple):
    """What one op's forward left."""

    op: Op
    kept: Any = None
    segment: Segment | None = None
    """Where what was not kept comes from."""


class Trace:
    """For each step of the net the entry of its last forward; None where there was none."""

    def __init__(self, count: int) -> None:
        self.entries: list[Entry | None] = [None] * count

    def put(self, entry: Entry) -> None:
        """Note an op's forward."""
        for place in entry.op.places:
            self.entries[place] = entry

    def replace(self, entry: Entry, old: object) -> None:
        """Put an entry where one of ``old``, a segment or an entry, is."""
        for place in entry.op.places:
            present = self.entries[place]
            if present is not None and (present is old or present.segment is old):
                self.entries[place] = entry

    def forget(self, start: int, stop: int) -> None:
        """Let go of what the steps kept."""
        self.entries[start:stop] = [None] * (stop - start)


@contextmanager
def _precision(amp: str) -> Iterator[None]:
    before = runtime.amp()
    if amp == before:
        yield
        return
    runtime.set_amp(amp or None)
    try:
        yield
    finally:
        runtime.set_amp(before or None)
