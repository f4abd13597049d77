"""Layers that become one operation in graphs of constant parameters.

BatchNorm and Scale go into the kernels of the convolution before them. On the CPU, convolutions that Winograd's
algorithm makes faster run by it, with the ReLU behind them, and write where a Concat wants their outputs; a 1×1
convolution runs with the ReLU behind it, or with the depthwise convolution before it; a net's first convolution reads
images as they are given; where such convolutions follow each other on large maps, they run row by row; LRN runs in one
pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import torch

from caffe import runtime
from caffe.blob import Blob
from caffe.kernels import chain, image, native, separable, winograd
from caffe.layers.activation.relu import ReLU
from caffe.layers.normalization.lrn import LRN
from caffe.layers.utility.concat import Concat
from caffe.layers.vision.convolution import Convolution
from caffe.net.rewrites.compiling.fused import (
    Branch,
    Chained,
    Folded,
    Fused,
    Joined,
    Link,
    Normalized,
    OfImage,
    Separable,
)
from caffe.net.rewrites.norm_into_convolution import goes_into, takes_more
from caffe.net.step import Step


def plan(steps: Sequence[Step], visible: set[Blob]) -> list[Fused]:
    """What becomes one operation.

    ``visible`` are the blobs whose values are wanted. Blobs have the shapes that the graph is for.
    """
    ours = runtime.device().type == "cpu" and not runtime.amp()
    readers = Counter(b for step in steps for b in step.bottom)
    parts: list[Fused] = []
    branches: dict[int, Branch] = {}  # by the place of the last layer
    depthwise: dict[int, Branch] = {}  # likewise
    for i, step in enumerate(steps):
        if takes_more(step):
            places = _into_kernels(steps, i, readers, visible)
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
                parts.append(OfImage(branch))
            elif kernel == "product":
                branches[branch.places[-1]] = branch
            elif len(places) > 1:
                parts.append(folded)
        elif ours and _is_lrn(step) and native.library() is not None:
            parts.append(Normalized(step, i))
        elif type(step.layer) is Concat:
            joined = _joined(steps, i, branches, readers, visible)
            parts += [Joined(joined, i)] if joined else []
            for branch in joined:
                del branches[branch.places[-1]]
    for branch in branches.values():
        before = depthwise.get(branch.places[0] - 1)
        if before is not None and branch.size == 1 and _feeds(before, branch, steps, readers, visible):
            parts.append(Separable(depthwise.pop(before.places[-1]), branch))
        elif branch.size > 1 or branch.relu is not None:
            parts.append(Joined([branch]))
        elif len(branch.folded.places) > 1:
            parts.append(branch.folded)
    parts += [branch.folded for branch in depthwise.values() if len(branch.folded.places) > 1]
    return _chained(parts, steps, readers, visible)


def _chained(
    found: Sequence[Fused], steps: Sequence[Step], readers: Counter[Blob], visible: set[Blob]
) -> list[Fused]:
    """The same, with what can run row by row as one."""
    chains: list[list[Link]] = []
    for link in sorted((one for one in found if isinstance(one, Link)), key=lambda one: one.places[0]):
        if chains and _goes_behind(chains[-1], link, steps, readers, visible):
            chains[-1].append(link)
        else:
            chains.append([link])
    others = [one for one in found if not isinstance(one, Link)]
    return others + [Chained(links) if len(links) > 1 else links[0] for links in chains]


def _goes_behind(
    links: Sequence[Link],
    link: Link,
    steps: Sequence[Step],
    readers: Counter[Blob],
    visible: set[Blob],
) -> bool:
    """Whether it can be the next of them, and that is faster than by itself."""
    if not isinstance(link, Separable) or not _feeds(links[-1].last, link.first, steps, readers, visible):
        return False
    images, _, _, width = steps[link.places[-1]].top[0].shape
    kernels = sum(one.last.layer.blobs[0].count for one in (*links, link))
    return kernels <= chain.MOST_KERNELS and width >= chain.LEAST_WIDTH and chain.pays(images)


def _behind(steps: Sequence[Step], place: int, readers: Counter[Blob], visible: set[Blob]) -> Step | None:
    """The layer behind, if it works in place or is the only one that wants this one's top."""
    blob = steps[place].top[0]
    then = steps[place + 1] if place + 1 < len(steps) else None
    if then is None or len(then.bottom) != 1 or then.bottom[0] is not blob:
        return None
    alone = blob not in visible and readers[blob] == 1
    return then if alone or then.top[0] is blob else None


def _into_kernels(steps: Sequence[Step], place: int, readers: Counter[Blob], visible: set[Blob]) -> list[int]:
    """The places of a convolution and of what goes into its kernels: BatchNorm, Scale."""
    places = [place]
    while then := _behind(steps, places[-1], readers, visible):
        if not goes_into(then.layer, len(places) - 1):
            break
        places.append(places[-1] + 1)
    return places


def _kernel_for(branch: Branch) -> Literal["depthwise", "image", "product"] | None:
    """Which kernel of ours can run it: of each channel by itself, of few channels, Winograd's or the 1×1."""
    if not _is_square(branch):
        return None
    x, weight = branch.folded.bottoms[0].shape, branch.layer.blobs[0].shape
    channels, group, (size, stride, pad) = x[1], branch.group, branch.window
    if group == channels == weight[0] and channels > 1:
        return "depthwise" if size <= separable.MOST_SIZE else None
    if group == 1 and size <= image.MOST_SIZE and channels <= image.MOST_CHANNELS:
        return "image"
    if stride != 1:
        return None
    fits = group == 1 and pad == 0 if size == 1 else winograd.fits(x, weight, group, pad)
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
    steps: Sequence[Step], place: int, branches: dict[int, Branch], readers: Counter[Blob], visible: set[Blob]
) -> list[Branch]:
    """The branches that a Concat joins, if it joins nothing else, along channels, and nobody else wants them."""
    step = steps[place]
    joined = []
    for blob in step.bottom:
        maker = next((k for k in branches if steps[k].top[0] is blob), None)
        if maker is None or len(blob.shape) != 4:
            return []
        if not _for_one(branches[maker], steps, readers, visible):
            return []
        joined.append(branches[maker])
    channels = sum(blob.shape[1] for blob in step.bottom)
    if step.top[0].shape[1] != channels or all(branch.size == 1 for branch in joined):
        return []
    return joined


def _for_one(branch: Branch, steps: Sequence[Step], readers: Counter[Blob], visible: set[Blob]) -> bool:
    """Whether one layer alone, outside of the branch, wants its top."""
    blob = steps[branch.places[-1]].top[0]
    own = sum(blob is b for k in branch.places for b in steps[k].bottom)
    return blob not in visible and readers[blob] - own == 1


def _feeds(
    first: Branch, second: Branch, steps: Sequence[Step], readers: Counter[Blob], visible: set[Blob]
) -> bool:
    """Whether the first's top is for the second alone."""
    top = steps[first.places[-1]].top[0]
    return second.folded.bottoms[0] is top and _for_one(first, steps, readers, visible)
