"""A Scale that works in place behind a BatchNorm runs with it: one normalization with learned scale and shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.blob import Blob, BlobVec
from caffe.layer import Needs
from caffe.layers.common.scale import Scale
from caffe.layers.normalization.batch_norm import BatchNorm
from caffe.net.run.mode import Mode
from caffe.net.run.op import Op
from caffe.net.run.plan import Part
from caffe.net.step import Step
from caffe.net.wiring import Wiring
from caffe.tensor_layer import Stateful, TensorLayer


class ScaledBatchNorm(TensorLayer):
    """A BatchNorm and the Scale behind it as one layer, over the parameters of both."""

    def __init__(self, norm: BatchNorm, scale: Scale) -> None:
        super().__init__(norm.param)
        self.norm, self.scale = norm, scale
        self.blobs = BlobVec([*norm.blobs, *scale.blobs])
        self.needs = Needs(norm.needs.backward, norm.needs.bottoms, [*norm.needs.params, *scale.needs.params])
        self.specs = [*norm.specs, *scale.specs]

    def check(self, *shapes: Any) -> None:
        self.norm.check(*shapes)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.norm.reshape(bottom, top)
        self.scale.reshape(top, top)
        self._shapes = tuple(b.shape for b in bottom)

    def compute(self, *tensors: Any) -> torch.Tensor | Stateful:
        return self.norm.compute(*tensors)

    @property
    def changes_state(self) -> bool:
        return self.norm.changes_state


class ScaleIntoNorm:
    """See the module."""

    name = "scale into norm"

    def applies(self, mode: Mode) -> bool:
        return mode.whole and not mode.watched and not mode.compiled

    def __call__(self, parts: list[Part], wiring: Wiring, mode: Mode) -> list[Part]:
        rewritten: list[Part] = []
        for part in parts:
            before = rewritten[-1] if rewritten else None
            if isinstance(part, Op) and isinstance(before, Op) and _follows(before, part):
                rewritten[-1] = self._merged(before, part, wiring)
            else:
                rewritten.append(part)
        return rewritten

    def _merged(self, first: Op, second: Op, wiring: Wiring) -> Op:
        norm, scale = first.layer, second.layer
        if not (isinstance(norm, BatchNorm) and isinstance(scale, Scale)):
            raise TypeError(f"{norm} and {scale} are no BatchNorm and Scale")
        key = self.name, first.places
        layer = wiring.made.get(key) or wiring.made.setdefault(key, ScaledBatchNorm(norm, scale))
        return Op(
            layer,
            (*first.steps, *second.steps),
            (*first.places, *second.places),
            first.keep,
            rewrites=(self.name,),
        )


def _follows(first: Op, second: Op) -> bool:
    """Whether the second is a Scale that needs nothing but what the first, a BatchNorm, gives, in place."""
    norm, scale = first.layer, second.layer
    if type(norm) is not BatchNorm or type(scale) is not Scale or not (norm.plain and scale.per_channel):
        return False
    return goes_behind(first.steps[-1], second.steps[0]) and first.needs_backward == second.needs_backward


def goes_behind(first: Step, second: Step) -> bool:
    """Whether the second has one bottom, the first's top, and works in place on it; nobody sees what was there."""
    return second.bottom == second.top == first.top and len(first.top) == 1 and not first.has_loss
