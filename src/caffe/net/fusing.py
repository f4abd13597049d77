"""Layers that become one operation in graphs of constant parameters.

BatchNorm and Scale go into the kernels of the convolution before them. On the CPU, convolutions that Winograd's
algorithm makes faster run by it, with the ReLU behind them, and write where a Concat wants their outputs; a 1×1
convolution runs with the ReLU behind it, or with the depthwise convolution before it; a net's first convolution reads
images as they are given; LRN runs in one pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from caffe import runtime
from caffe.blob import Blob
from caffe.kernels import image, native, operations, panels, separable, winograd
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

    @property
    def group(self) -> int:
        return self.layer.groups(self.folded.bottoms[0].shape[1])

    def plain(self, own: Sequence[Tensors]) -> tuple[torch.Tensor, torch.Tensor]:
        """Kernels and bias."""
        weight, *bias = self.folded.params(own[: len(self.folded.places)])
        return weight, bias[0] if bias else weight.new_zeros(len(weight))

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        """Kernels and bias as the kernel of ours takes them."""
        weight, bias = self.plain(own)
        packed = panels.pack_weight(weight) if self.size == 1 else winograd.transform(weight, self.group)
        return [packed, bias]


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
class Separable:
    """A depthwise convolution and the 1×1 convolution behind it."""

    first: Branch
    second: Branch

    @property
    def places(self) -> Sequence[int]:
        return [*self.first.places, *self.second.places]

    @property
    def bottoms(self) -> Sequence[Blob]:
        return self.first.folded.bottoms

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        weight, bias = self.first.plain(own)
        return [separable.pack(weight), bias, *self.second.params(own[len(self.first.places) :])]

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        window = self.first.layer.window
        relu = [branch.relu is not None for branch in (self.first, self.second)]
        return operations.separable(
            bottoms[0], params, window.kernel[0], window.stride[0], window.pad[0], relu
        )


@dataclass(frozen=True)
class OfImage:
    """A convolution of few channels."""

    branch: Branch

    @property
    def places(self) -> Sequence[int]:
        return self.branch.places

    @property
    def bottoms(self) -> Sequence[Blob]:
        return self.branch.folded.bottoms

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        weight, bias = self.branch.plain(own)
        return [panels.pack_weight(weight), bias]

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        window = self.branch.layer.window
        kernels, bias = params
        relu = self.branch.relu is not None
        return operations.image(
            bottoms[0], kernels, bias, window.kernel[0], window.stride[0], window.pad[0], relu
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
    depthwise: dict[int, Branch] = {}  # likewise
    for i, step in enumerate(steps):
        if takes_more(step):
            places = _chain(steps, i, readers, visible)
            folded = Folded([steps[k] for k in places], places)
            behind = _behind(steps, places[-1], readers, visible)
            relu = behind is not None and type(behind.layer) is ReLU and behind.layer.plain
            branch = Branch(folded, places[-1] + 1 if relu else None)
            kernel = _kernel_for(branch) if ours else None
            if kernel is not None and native.library() is None:
                kernel = None
            if kernel == "depthwise":
                depthwise[branch.places[-1]] = branch
            elif kernel == "image":
                found.append(OfImage(branch))
            elif kernel == "product":
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
        before = depthwise.get(branch.places[0] - 1)
        if before is not None and branch.size == 1 and _feeds(before, branch, steps, readers, visible):
            found.append(Separable(depthwise.pop(before.places[-1]), branch))
        elif branch.size > 1 or branch.relu is not None:
            found.append(Joined([branch]))
        elif len(branch.folded.places) > 1:
            found.append(branch.folded)
    found += [branch.folded for branch in depthwise.values() if len(branch.folded.places) > 1]
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


def _kernel_for(branch: Branch) -> Literal["depthwise", "image", "product"] | None:
    """Which kernel of ours can run it: of each channel by itself, of few channels, Winograd's or the 1×1."""
    if not _is_square(branch):
        return None
    x, weight, window = branch.folded.bottoms[0].shape, branch.layer.blobs[0].shape, branch.layer.window
    channels, group, pad = x[1], branch.group, window.pad[0]
    if group == channels == weight[0] and channels > 1:
        return "depthwise"
    if group == 1 and branch.size <= image.MOST_SIZE and channels <= image.MOST_CHANNELS:
        return "image"
    if window.stride[0] != 1:
        return None
    fits = group == 1 and pad == 0 if branch.size == 1 else winograd.fits(x, weight, group, pad)
    return "product" if fits else None


def _is_square(branch: Branch) -> bool:
    """Whether it is a plain convolution of float32, undilated, alike along both axes."""
    step = branch.folded.steps[0]
    layer = step.layer
    if not isinstance(layer, Convolution) or not layer.plain or step.bottom[0].tensor.dtype != torch.float32:
        return False
    window = layer.window
    alike = all(len(set(sides)) == 1 for sides in (window.kernel, window.stride, window.pad))
    return alike and {*window.dilation} == {1}


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
        if maker is None or len(blob.shape) != 4:
            return []
        if not _for_one(branches[maker], steps, readers, visible):
            return []
        found.append(branches[maker])
    channels = sum(blob.shape[1] for blob in step.bottom)
    if step.top[0].shape[1] != channels or all(branch.size == 1 for branch in found):
        return []
    return found


def _for_one(branch: Branch, steps: Sequence[Step], readers: Counter[int], visible: set[int]) -> bool:
    """Whether one layer alone, outside of the branch, wants its top."""
    blob = steps[branch.places[-1]].top[0]
    own = sum(blob is b for k in branch.places for b in steps[k].bottom)
    return id(blob) not in visible and readers[id(blob)] - own == 1


def _feeds(
    first: Branch, second: Branch, steps: Sequence[Step], readers: Counter[int], visible: set[int]
) -> bool:
    """Whether the first's top is for the second alone."""
    top = steps[first.places[-1]].top[0]
    return second.folded.bottoms[0] is top and _for_one(first, steps, readers, visible)
