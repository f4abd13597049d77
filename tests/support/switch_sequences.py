"""Run sequences of actions on a net and on one whose switches are all off, and compare all that can be seen.

    python -m switch_sequences [--length 3] [--kinds plain …] [--only SUBSTRING …]

runs every sequence of a length (for hours, with 4) and lists where the two disagree.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from switch_nets import BOTH, GLOBAL, KINDS, SWITCHES, Difference, build

import caffe
from caffe.errors import CaffeError, StateError

ACTIONS = [*BOTH, *SWITCHES, "amp", "no amp"]
TOLERANCE = 1e-5  # of the largest value, or of 1
TOLERANCE_AMP = 0.05


class Pair:
    """The net under test and the plain one, and what the switches allow the first to refuse."""

    def __init__(self, kind: str, phase: int) -> None:
        self.tested, self.plain = build(kind, phase), build(kind, phase)
        self.tolerance = TOLERANCE
        self.inference = self.recompute = self.checkpointing = False
        self.frees = False
        self.stale = False
        """Whether parameters were written since the last forward, so that what is computed again is of the new ones."""
        """Whether the tested net may have freed values that it cannot give: it then says so."""

    def switch(self, action: str) -> None:
        if action in ("inference", "recompute"):
            self.inference, self.recompute = True, action == "recompute"
        elif action == "no inference":
            self.inference = self.recompute = False
        elif action.endswith("checkpointing"):
            self.checkpointing = action == "checkpointing"
        SWITCHES[action](self.tested)

    def may_refuse(self) -> bool:
        self.frees |= (self.inference and not self.recompute) or self.checkpointing
        return self.frees


def run(sequence: Sequence[str], kind: str, phase: int) -> None:
    """Raise Difference where the two nets disagree."""
    caffe.set_amp(None)
    caffe.set_mode_cpu()
    pair = Pair(kind, phase)
    written = False
    try:
        for i, action in enumerate(sequence):
            if action in GLOBAL:
                GLOBAL[action]()
                if action == "amp":
                    pair.tolerance = TOLERANCE_AMP
                continue
            if action in SWITCHES:
                pair.switch(action)
                pair.may_refuse()
                continue
            if action == "reshape" and pair.inference:
                pair.frees = True  # what was freed before has another shape now
            outcome = []
            for net in (pair.plain, pair.tested):
                torch.manual_seed(100 + i)
                try:
                    outcome.append(BOTH[action](net))
                except CaffeError as error:
                    outcome.append(error)
                except Exception as error:
                    raise Difference(tuple(sequence), i, f"raises {error!r}") from error
            expected, found = outcome
            if action.startswith("write"):
                written = True
            if action == "write parameter":
                pair.stale = pair.inference or pair.checkpointing
            elif action == "forward":
                pair.stale = False
            elif pair.stale and action.startswith(("backward", "read", "last")):
                return
            if isinstance(expected, CaffeError):
                if not isinstance(found, CaffeError):
                    raise Difference(tuple(sequence), i, f"does not raise {expected}")
                return  # both refuse: what follows is undefined
            if isinstance(found, CaffeError):
                allowed = isinstance(found, StateError) and (pair.may_refuse() or written)
                if not allowed:
                    raise Difference(tuple(sequence), i, f"raises {found}") from found
                return
            if isinstance(expected, dict):
                for name, values in expected.items():
                    _same(values, found[name], f"gives other values of '{name}'", pair, sequence, i)
        _same_state(pair, sequence, written)
    finally:
        caffe.set_amp(None)


def _same_state(pair: Pair, sequence: Sequence[str], written: bool) -> None:
    last = len(sequence) - 1
    for name, blobs in pair.plain.params.items():
        for k, blob in enumerate(blobs):
            other = pair.tested.params[name][k]
            _same(blob.data, other.data, f"{name}[{k}] differs", pair, sequence, last)
            _same(blob.diff, other.diff, f"the gradient of {name}[{k}] differs", pair, sequence, last)
    if pair.stale:
        return
    for name, blob in pair.plain.blobs.items():
        for what in ("diff", "data"):
            try:
                expected = getattr(blob, what)
            except CaffeError:
                continue
            try:
                found = getattr(pair.tested.blobs[name], what)
            except StateError as error:
                if pair.frees or written:
                    continue
                raise Difference(tuple(sequence), last, f"{what} of '{name}' raises {error}") from error
            except Exception as error:
                raise Difference(tuple(sequence), last, f"{what} of '{name}' raises {error!r}") from error
            _same(expected, found, f"{what} of '{name}' differs", pair, sequence, last)


def _same(expected: Any, found: Any, what: str, pair: Pair, sequence: Sequence[str], i: int) -> None:
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape:
        raise Difference(tuple(sequence), i, f"{what}: shape {found.shape}, expected {expected.shape}")
    if not expected.size:
        return
    off = float(np.abs(expected - found).max())
    if not off <= pair.tolerance * max(1.0, float(np.abs(expected).max())):
        raise Difference(
            tuple(sequence), i, f"{what}: by {off:.2g}, the largest is {np.abs(expected).max():.2g}"
        )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--length", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--phases", nargs="*", type=int, default=[caffe.TRAIN, caffe.TEST])
    parser.add_argument("--without", nargs="*", default=["compile", "no compile"])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--sample", type=int, default=0, help="so many at random instead of all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    actions = [a for a in ACTIONS if a not in options.without]
    wanted: Any = itertools.product(options.kinds, options.phases, *[actions] * options.length)
    if options.sample:
        rng = np.random.default_rng(options.seed)
        wanted = (
            (
                rng.choice(options.kinds),
                int(rng.choice(options.phases)),
                *map(str, rng.choice(actions, options.length)),
            )
            for _ in range(options.sample)
        )
    count = wrong = 0
    start = time.monotonic()
    for kind, phase, *sequence in wanted:
        if time.monotonic() - start > options.seconds:
            print("out of time")
            break
        count += 1
        try:
            run(sequence, kind, phase)
        except Difference as error:
            wrong += 1
            print(f"{kind} {'TRAIN' if phase == caffe.TRAIN else 'TEST'}: {error}", flush=True)
    print(f"{count} sequences, {wrong} differ, {time.monotonic() - start:.0f} s")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
