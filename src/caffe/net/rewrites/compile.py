"""Nets of the TEST phase run as graphs of torch.compile, as far as their layers are functions."""

from __future__ import annotations

from dataclasses import replace

from caffe.net.rewrites.compiling.compiled import Compiled
from caffe.net.run.mode import Mode
from caffe.net.run.plan import Part, ops_of
from caffe.net.wiring import Wiring


class Compile:
    """See :mod:`caffe.net.rewrites.compiling.compiled`."""

    name = "compile"

    def applies(self, mode: Mode) -> bool:
        return mode.compiled and mode.whole and not mode.watched

    def __call__(self, parts: list[Part], wiring: Wiring, mode: Mode) -> list[Part]:
        if self.name not in wiring.made:
            ops = [replace(op, frees=()) for op in ops_of(parts)]  # graphs free what they do not hand out
            wiring.made[self.name] = Compiled(ops, wiring, mode.compiled_keep)
        compiled: Compiled = wiring.made[self.name]
        return [compiled]
