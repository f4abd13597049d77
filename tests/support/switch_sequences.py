"""Run sequences of actions on a net and on one whose switches are all off, and compare all that can be seen.

    python -m switch_sequences [--length 3] [--kinds plain …] [--piece 0/8]

runs every sequence of a length (4 takes hours) and lists where the two disagree.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from switch_nets import BOTH, GLOBAL, KINDS, SWITCHES, Difference, build

import caffe
from caffe.errors import CaffeError, StateError

ACTIONS = [*BOTH, *SWITCHES, *GLOBAL]
TOLERANCE = 1e-5  # of the largest value, or of 1
TOLERANCE_AMP = 0.05


@dataclass
class Plain:
    """What a net whose switches are all off gives: a list of outcomes, and how it is left."""

    outcomes: list[Any] = field(default_factory=list)
    params: dict[tuple[str, int, str], Any] = field(default_factory=dict)
    blobs: dict[tuple[str, str], Any] = field(default_factory=dict)


def without_switches(sequence: Sequence[str]) -> tuple[str, ...]:
    """What of a sequence is done to the plain net."""
    return tuple(action for action in sequence if action not in SWITCHES)


def plain(sequence: Sequence[str], kind: str, phase: int) -> Plain:
    """Run what :func:`without_switches` leaves, up to where the net refuses."""
    _start()
    net, found = build(kind, phase), Plain()
    try:
        for action in sequence:
            if action in GLOBAL:
                GLOBAL[action]()
                continue
            outcome = _act(net, action, len(found.outcomes))
            if isinstance(outcome, dict):
                outcome = {name: np.array(values) for name, values in outcome.items()}
            found.outcomes.append(outcome)
            if isinstance(outcome, Exception):
                return found
        for name, blobs in net.params.items():
            for k, blob in enumerate(blobs):
                found.params[name, k, "data"] = np.array(blob.data)
                found.params[name, k, "diff"] = np.array(blob.diff)
        for name, blob in net.blobs.items():
            for what in ("diff", "data"):
                try:
                    found.blobs[name, what] = np.array(getattr(blob, what))
                except CaffeError:
                    continue
        return found
    finally:
        _start()


def _start() -> None:
    caffe.set_amp(None)
    caffe.set_mode_cpu()


def _act(net: caffe.Net, action: str, number: int) -> Any:
    """Do one thing, or return the CaffeError that it raises, or what a layer of the user's raises.

    The random numbers of each are its own.
    """
    torch.default_generator.manual_seed(
        100 + number
    )  # torch.manual_seed asks for every kind of device there is
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(100 + number)
    try:
        return BOTH[action](net)
    except CaffeError as error:
        return error
    except ValueError as error:
        if not any(layer.type == "Python" for layer in net.layers):
            raise
        return error


class Tested:
    """The net under test, and what its switches allow it to refuse."""

    def __init__(self, kind: str, phase: int) -> None:
        self.net = build(kind, phase)
        self.tolerance = TOLERANCE
        self.inference = self.recompute = self.checkpointing = False
        self.freeing = False
        """Whether values may be freed, and computed again: inference or checkpointing has been on."""
        self.written = False
        """Whether a parameter or an input was written."""
        self.frees = False
        """Whether it may have freed values that it cannot give: it then says so."""
        self.stale = False
        """Whether parameters were written since the last forward, so that what is computed again is of the new ones."""
        self.overwritten = False
        """Whether an input was: what is computed again is of the old ones, and so is its backward."""

    @property
    def of_others(self) -> tuple[str, ...]:
        """The actions whose outcome is of other values than the plain net's."""
        if self.stale:
            return ("backward", "read", "last")
        return ("backward",) if self.overwritten else ()

    def switch(self, action: str) -> None:
        if action in ("inference", "recompute"):
            self.inference, self.recompute = True, action == "recompute"
        elif action == "no inference":
            self.inference = self.recompute = False
        elif action.endswith("checkpointing"):
            self.checkpointing = action == "checkpointing"
        SWITCHES[action](self.net)
        self.freeing |= self.inference or self.checkpointing
        self.frees |= (self.inference and not self.recompute) or self.checkpointing


def run(sequence: Sequence[str], kind: str, phase: int, expected: Plain | None = None) -> int:
    """Raise Difference where the two nets disagree; returns how many actions were compared.

    ``expected`` is what :func:`plain` gives, where it is there already. What follows after both nets refuse, or the
    tested one where it may, is undefined.
    """
    expected = expected or plain(without_switches(sequence), kind, phase)
    _start()
    tested = Tested(kind, phase)
    outcomes = iter(enumerate(expected.outcomes))
    try:
        for i, action in enumerate(sequence):
            if action in GLOBAL:
                GLOBAL[action]()
                if action == "amp":
                    tested.tolerance = TOLERANCE_AMP
                continue
            if action in SWITCHES:
                tested.switch(action)
                continue
            if action == "reshape" and tested.freeing:
                tested.frees = True  # what was freed before has another shape now
            number, wanted = next(outcomes)
            try:
                found = _act(tested.net, action, number)
            except Exception as error:
                raise Difference(tuple(sequence), i, f"raises {error!r}") from error
            tested.written |= action.startswith("write")
            if action == "write parameter":
                tested.stale = tested.freeing
            elif action == "write input":
                tested.overwritten = tested.freeing
            elif action == "forward":
                tested.stale = tested.overwritten = False
            elif action.startswith(tested.of_others):
                return i + 1
            if isinstance(wanted, Exception):
                if not isinstance(found, Exception):
                    raise Difference(tuple(sequence), i, f"does not raise {wanted}")
                return i + 1
            if isinstance(found, Exception):
                if not (isinstance(found, StateError) and (tested.frees or tested.written)):
                    raise Difference(tuple(sequence), i, f"raises {found}") from found
                return i + 1
            if isinstance(wanted, dict):
                for name, values in wanted.items():
                    _same(values, found[name], f"gives other values of '{name}'", tested, sequence, i)
        _same_state(expected, tested, sequence)
        return len(sequence)
    finally:
        _start()


def _same_state(expected: Plain, tested: Tested, sequence: Sequence[str]) -> None:
    last = len(sequence) - 1
    for (name, k, what), values in expected.params.items():
        found = getattr(tested.net.params[name][k], what)
        _same(values, found, f"{what} of {name}[{k}] differs", tested, sequence, last)
    if tested.stale:
        return
    for (name, what), values in expected.blobs.items():
        try:
            found = getattr(tested.net.blobs[name], what)
        except StateError as error:
            if tested.frees or tested.written:
                continue
            raise Difference(tuple(sequence), last, f"{what} of '{name}' raises {error}") from error
        except Exception as error:
            raise Difference(tuple(sequence), last, f"{what} of '{name}' raises {error!r}") from error
        _same(values, found, f"{what} of '{name}' differs", tested, sequence, last)


def _same(expected: Any, found: Any, what: str, tested: Tested, sequence: Sequence[str], i: int) -> None:
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape:
        raise Difference(tuple(sequence), i, f"{what}: shape {found.shape}, expected {expected.shape}")
    if not expected.size:
        return
    off = float(np.abs(expected - found).max())
    if not off <= tested.tolerance * max(1.0, float(np.abs(expected).max())):
        raise Difference(
            tuple(sequence), i, f"{what}: by {off:.2g}, the largest is {np.abs(expected).max():.2g}"
        )


GROUPS = {
    "hooks": "hooks", "no hooks": "hooks",
    "inference": "inference", "recompute": "inference", "no inference": "inference",
    "checkpointing": "checkpointing", "no checkpointing": "checkpointing",
    "compile": "compile", "no compile": "compile",
    "amp": "amp", "no amp": "amp",
    "cpu": "device", "gpu": "device",
}  # fmt: skip
"""Which of a net's settings each switch sets."""

AT_FIRST = {*(action for action in GROUPS if action.startswith("no ")), "cpu"}


def distinct(sequence: Sequence[str]) -> bool:
    """Whether no other sequence, shorter or of another order, does the same to a net.

    A switch sets one setting and does nothing else: set to what it is, or set again at once, it can be left out, and
    two in a row can be exchanged.
    """
    order = list(dict.fromkeys(GROUPS.values()))
    now = {GROUPS[action]: action for action in AT_FIRST}
    before = -1
    for action in sequence:
        group = GROUPS.get(action)
        if group is None:
            before = -1
            continue
        if now[group] == action or order.index(group) <= before:
            return False
        now[group], before = action, order.index(group)
    return True


def telling(sequence: Sequence[str]) -> bool:
    """Whether the nets' switches can make a difference at its end; what a shorter one tells is left out."""
    return sequence[-1] not in GROUPS and any(action in SWITCHES for action in sequence)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--phases", nargs="*", type=int, default=[caffe.TRAIN, caffe.TEST])
    parser.add_argument("--without", nargs="*", default=["compile", "no compile", "cpu", "gpu"])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--piece", default="0/1", help="which of how many pieces")
    parser.add_argument("--all", action="store_true", help="those, too, that tell nothing that others do not")
    options = parser.parse_args()
    actions = [a for a in ACTIONS if a not in options.without]
    piece, pieces = map(int, options.piece.split("/"))
    sequences = [
        sequence
        for sequence in itertools.product(actions, repeat=options.length)
        if options.all or (distinct(sequence) and telling(sequence))
    ]
    sequences.sort(key=without_switches)
    groups = [list(group) for _, group in itertools.groupby(sequences, without_switches)][piece::pieces]
    count = passed_over = wrong = 0
    start = time.monotonic()
    for kind, phase in itertools.product(options.kinds, options.phases):
        ended: set[tuple[str, ...]] = (
            set()
        )  # where both refuse, or the tested net does: the rest is not compared
        for group in groups:
            expected = plain(without_switches(group[0]), kind, phase)
            for sequence in group:
                if time.monotonic() - start > options.seconds:
                    print(f"out of time in {kind} {phase}: {count} sequences, {wrong} differ")
                    return 1
                if any(sequence[:k] in ended for k in range(1, options.length)):
                    passed_over += 1
                    continue
                count += 1
                try:
                    length = run(sequence, kind, phase, expected)
                    if length < options.length:
                        ended.add(sequence[:length])
                except Difference as error:
                    wrong += 1
                    print(f"{kind} {'TRAIN' if phase == caffe.TRAIN else 'TEST'}: {error}", flush=True)
        done = f"{count} sequences run, {passed_over} began with one that ends in a refusal, {wrong} differ"
        print(f"{kind} {phase}: so far {done}, {time.monotonic() - start:.0f} s", flush=True)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
