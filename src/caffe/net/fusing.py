"""Layers that become one operation in graphs of constant parameters.

BatchNorm and Scale go into the kernels of the convolution before them. On the CPU, convolutions that Winograd's
algorithm makes faster run by it, with the ReLU behind them, and write where a Concat wants their outputs; LRN runs in
one pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from caffe import runtime
from caffe.blob import Blob
from caffe.kernels import native, operations, pointwise, winograd
from caffe.layers.activation.relu import ReLU
from caffe.layers.normalization.lrn import LRN
from caffe.layers.utility.concat import Concat
from caffe.layers.vision.convolution import Convolution
from caffe.net.folding import fold, goes_into, takes_more
from caffe.net.wiring import Step

Tensors = Sequence[torch.Tensor]


class Fused(Protocol):
    """Layers run as one operation, in the place of the last of them."""

    @property
    def places(self) -> Sequence[int]:
        """Their places in the net, in order."""

    @property
    def bottoms(self) -> Sequence[Blob]:
        """The blobs it takes."""

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        """Its parameters, from those of the layers at its places."""

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        """The top of the last layer."""


@dataclass(frozen=True)
class Folded:
    """A convolution with the BatchNorm and Scale behind it in its kernels."""

    steps: Sequence[Step]
    places: Sequence[int]

    @property
    def bottoms(self) -> Sequence[Blob]:
        return self.steps[0].bottom

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        return fold([step.layer for step in self.steps], own)

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        layer = self.steps[0].layer
        found: torch.Tensor = layer.tops(bottoms, params)[0]  # type: ignore[attr-defined]
        return found


@dataclass(frozen=True)
class Branch:
    """A :class:`Folded` convolution, the ReLU behind it if there is one, by a kernel of ours."""

    folded: Folded
    relu: int | None
    """Its place."""

    @property
    def places(self) -> Sequence[int]:
        return self.folded.places if self.relu is None else [*self.folded.places, self.relu]

    @property
    def layer(self) -> Convolution:
        layer = self.folded.steps[0].layer
        if not isinstance(layer, Convolution):
            raise TypeError(f"{layer} is no convolution")
        return layer

    @property
    def size(self) -> int:
        """Of its kernels, which are squares."""
        return self.layer.window.kernel[0]

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        """Kernels and bias as the kernel of ours takes them."""
        weight, *bias = self.folded.params(own[: len(self.folded.places)])
        packed = pointwise.pack(weight) if self.size == 1 else winograd.transform(weight, _group(self.layer))
        return [packed, *bias] if bias else [packed, weight.new_zeros(len(weight))]


@dataclass(frozen=True)
class Joined:
    """Convolutions by kernels of ours, side by side in one blob: those of a Concat, or just one."""

    branches: Sequence[Branch]
    concat: int | None = None
    """The Concat's place."""

    @property
    def places(self) -> Sequence[int]:
        found = sorted(k for branch in self.branches for k in branch.places)
        return found if self.concat is None else [*found, self.concat]

    @property
    def bottoms(self) -> Sequence[Blob]:
        return [branch.folded.bottoms[0] for branch in self.branches]

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        at = dict(zip(self.places, own))
        return [x for branch in self.branches for x in branch.params([at[k] for k in branch.places])]

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        layers = [branch.layer for branch in self.branches]
        return operations.convolutions(
            bottoms,
            params[0::2],
            params[1::2],
            [branch.size for branch in self.branches],
            [layer.window.pad[0] for layer in layers],
            [branch.relu is not None for branch in self.branches],
        )


@dataclass(frozen=True)
class Normalized:
    """An LRN across channels."""

    step: Step
    place: int

    @property
    def places(self) -> Sequence[int]:
        return [self.place]

    @property
    def bottoms(self) -> Sequence[Blob]:
        return self.step.bottom

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        return []

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        p = self.step.layer.param.lrn_param
        return operations.lrn(bottoms[0], p.local_size, p.alpha / p.local_size, p.k)


def plan(steps: Sequence[Step], visible: set[int]) -> list[Fused]:
    """What becomes one operation.

    ``visible`` are the ids of blobs whose values are wanted. Blobs have the shapes that the graph is for.
    """
    ours = runtime.device().type == "cpu" and not runtime.amp()
    readers = Counter(id(b) for step in steps for b in step.bottom)
    found: list[Fused] = []
    branches: dict[int, Branch] = {}  # by the place of the last layer
    for i, step in enumerate(steps):
        if takes_more(step):
            places = _chain(steps, i, readers, visible)
            folded = Folded([steps[k] for k in places], places)
            if ours and _is_ours(folded):
                behind = _behind(steps, places[-1], readers, visible)
                relu = behind is not None and type(behind.layer) is ReLU and behind.layer.plain
                branch = Branch(folded, places[-1] + 1 if relu else None)
                branches[branch.places[-1]] = branch
            elif len(places) > 1:
                found.append(folded)
        elif ours and _is_lrn(step) and native.library() is not None:
            found.append(Normalized(step, i))
        elif type(step.layer) is Concat:
            joined = _joined(steps, i, branches, readers, visible)
            found += [Joined(joined, i)] if joined else []
            for branch in joined:
                del branches[branch.places[-1]]
    for branch in branches.values():
        if branch.size > 1:
            found.append(Joined([branch]))
        elif len(branch.folded.places) > 1:
            found.append(branch.folded)
    return found


def _behind(steps: Sequence[Step], place: int, readers: Counter[int], visible: set[int]) -> Step | None:
    """The layer behind, if it works in place or is the only one that wants this one's top."""
    blob = steps[place].top[0]
    then = steps[place + 1] if place + 1 < len(steps) else None
    if then is None or len(then.bottom) != 1 or then.bottom[0] is not blob:
        return None
    alone = id(blob) not in visible and readers[id(blob)] == 1
    return then if alone or then.top[0] is blob else None


def _chain(steps: Sequence[Step], place: int, readers: Counter[int], visible: set[int]) -> list[int]:
    """The places of a convolution and of what goes into its kernels: BatchNorm, Scale."""
    found = [place]
    while then := _behind(steps, found[-1], readers, visible):
        if not goes_into(then.layer, len(found) - 1):
            break
        found.append(found[-1] + 1)
    return found


def _is_ours(folded: Folded) -> bool:
    """Whether a kernel of ours can run it, and is there."""
    step = folded.steps[0]
    layer, x = step.layer, step.bottom[0].tensor
    if not isinstance(layer, Convolution) or not layer.plain or x.dtype != torch.float32:
        return False
    window, weight = layer.window, layer.blobs[0].shape
    if {*window.dilation, *window.stride} != {1} or len(set(window.pad)) != 1:
        return False
    if window.kernel == (1, 1):
        return _group(layer) == 1 and window.pad == (0, 0) and native.library() is not None
    return winograd.fits(x.shape, weight, _group(layer), window.pad[0]) and native.library() is not None


def _is_lrn(step: Step) -> bool:
    if type(step.layer) is not LRN or not step.layer.by_roots:
        return False
    x = step.bottom[0].tensor
    return x.dim() == 4 and x.dtype == torch.float32


def _joined(
    steps: Sequence[Step], place: int, branches: dict[int, Branch], readers: Counter[int], visible: set[int]
) -> list[Branch]:
    """The branches that a Concat joins, if it joins nothing else, along channels, and nobody else wants them."""
    step = steps[place]
    found = []
    for blob in step.bottom:
        maker = next((k for k in branches if steps[k].top[0] is blob), None)
        if maker is None or id(blob) in visible or len(blob.shape) != 4:
            return []
        if readers[id(blob)] - sum(blob is b for k in branches[maker].places for b in steps[k].bottom) != 1:
            return []
        found.append(branches[maker])
    channels = sum(blob.shape[1] for blob in step.bottom)
    if step.top[0].shape[1] != channels or all(branch.size == 1 for branch in found):
        return []
    return found


def _group(layer: Convolution) -> int:
    return int(layer.param.convolution_param.group)
