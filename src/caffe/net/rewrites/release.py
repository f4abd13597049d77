"""In inference nothing is kept for backward, and every blob is freed once no later layer reads it."""

from __future__ import annotations

from dataclasses import replace

from caffe.layer import Keep
from caffe.net.run import liveness
from caffe.net.run.mode import Mode
from caffe.net.run.op import Op
from caffe.net.run.plan import Part
from caffe.net.wiring import Wiring


class Release:
    """Inputs, outputs, losses and the blobs that the mode keeps stay. What runs by itself comes before groups."""

    name = "release"

    def applies(self, mode: Mode) -> bool:
        return mode.inference

    def __call__(self, parts: list[Part], wiring: Wiring, mode: Mode) -> list[Part]:
        stay = liveness.shown(wiring, mode.keep)
        ops = [part for part in parts if isinstance(part, Op)]
        freed: list[Part] = []
        # what comes after a forward of a part of the net reads, too
        behind = liveness.read(wiring.steps[ops[-1].places[-1] + 1 :]) if ops else set()
        for op, uses in zip(ops, liveness.last_uses(ops)):
            frees = tuple((name, blob) for blob, name in uses.items() if blob not in stay | behind)
            freed.append(replace(op, keep=Keep.NOTHING, frees=frees, forgets=not mode.recompute))
        return freed
