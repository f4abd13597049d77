"""In inference a ReLU in place on a convolution's top runs with it."""

from __future__ import annotations

from caffe.layers.activation.relu import ReLU
from caffe.net.rewrites.norm_into_convolution import FoldedConvolution, folded
from caffe.net.rewrites.scale_into_norm import goes_behind
from caffe.net.run.mode import Mode
from caffe.net.run.op import Op
from caffe.net.run.plan import Part
from caffe.net.wiring import Wiring


class ReLUIntoConvolution:
    """See the module."""

    name = "relu into convolution"

    def applies(self, mode: Mode) -> bool:
        return mode.inference and mode.whole and not (mode.watched or mode.compiled)

    def __call__(self, parts: list[Part], wiring: Wiring, mode: Mode) -> list[Part]:
        rewritten: list[Part] = []
        for part in parts:
            before = rewritten[-1] if rewritten else None
            if (
                isinstance(part, Op)
                and isinstance(before, Op)
                and isinstance(before.layer, FoldedConvolution)
                and type(part.layer) is ReLU
                and part.layer.plain
                and goes_behind(before.steps[-1], part.steps[0])
            ):
                steps, places = (*before.steps, *part.steps), (*before.places, *part.places)
                rewritten[-1] = folded(steps, places, self.name, wiring, before)
            else:
                rewritten.append(part)
        return rewritten
