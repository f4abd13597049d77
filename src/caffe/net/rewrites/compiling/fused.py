"""Operations that several layers run as, in graphs of constant parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch

from caffe.blob import Blob
from caffe.kernels import operations, panels, separable, winograd
from caffe.layers.vision.convolution import Convolution
from caffe.net.rewrites.norm_into_convolution import fold
from caffe.net.step import Step

Tensors = Sequence[torch.Tensor]


class Fused(Protocol):
    """Layers run as one operation, in the place of the last of them."""

    @property
    def title(self) -> str:
        """What the operation is, in two or three words."""

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

    title: ClassVar[str] = "norm into convolution"
    steps: Sequence[Step]
    places: Sequence[int]

    @property
    def bottoms(self) -> Sequence[Blob]:
        return self.steps[0].bottom

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        return fold([step.layer for step in self.steps], own)

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        layer = self.steps[0].layer
        top: torch.Tensor = layer.tops(bottoms, params)[0]  # type: ignore[attr-defined]
        return top


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
        return self.window[0]

    @property
    def window(self) -> tuple[int, int, int]:
        """Size, stride and pad, alike along both axes."""
        window = self.layer.window
        return window.kernel[0], window.stride[0], window.pad[0]

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
    def title(self) -> str:
        return "kernel of ours" if self.concat is None else "branches of a concat by kernels of ours"

    @property
    def places(self) -> Sequence[int]:
        branched = sorted(k for branch in self.branches for k in branch.places)
        return branched if self.concat is None else [*branched, self.concat]

    @property
    def bottoms(self) -> Sequence[Blob]:
        return [branch.folded.bottoms[0] for branch in self.branches]

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        return _params_of(self.branches, self.places, own)

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        return operations.convolutions(
            bottoms,
            params[0::2],
            params[1::2],
            [branch.size for branch in self.branches],
            [branch.window[2] for branch in self.branches],
            [branch.relu is not None for branch in self.branches],
        )


@dataclass(frozen=True)
class Separable:
    """A depthwise convolution and the 1×1 convolution behind it."""

    title: ClassVar[str] = "separable rows"
    first: Branch
    second: Branch

    @property
    def last(self) -> Branch:
        """Where its top is."""
        return self.second

    @property
    def places(self) -> Sequence[int]:
        return [*self.first.places, *self.second.places]

    @property
    def bottoms(self) -> Sequence[Blob]:
        return self.first.folded.bottoms

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        weight, bias = self.first.plain(own)
        return [separable.pack(weight), bias, *self.second.params(own[len(self.first.places) :])]

    @property
    def window(self) -> tuple[int, int, int]:
        return self.first.window

    @property
    def relu(self) -> tuple[bool, bool]:
        return self.first.relu is not None, self.second.relu is not None

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        return operations.separable(bottoms[0], params, *self.window, self.relu)


@dataclass(frozen=True)
class OfImage:
    """A convolution of few channels."""

    title: ClassVar[str] = "kernel for images"
    branch: Branch

    @property
    def last(self) -> Branch:
        """Where its top is."""
        return self.branch

    @property
    def places(self) -> Sequence[int]:
        return self.branch.places

    @property
    def bottoms(self) -> Sequence[Blob]:
        return self.branch.folded.bottoms

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        weight, bias = self.branch.plain(own)
        return [panels.pack_weight(weight), bias]

    @property
    def window(self) -> tuple[int, int, int]:
        return self.branch.window

    @property
    def relu(self) -> tuple[bool, bool]:
        return False, self.branch.relu is not None

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        kernels, bias = params
        return operations.image(bottoms[0], kernels, bias, *self.window, self.relu[1])


Link = OfImage | Separable
"""What can run row by row with what is behind it."""


@dataclass(frozen=True)
class Chained:
    """Separable convolutions one behind the other, maybe behind an image's."""

    title: ClassVar[str] = "rows through several layers"
    links: Sequence[Link]

    @property
    def places(self) -> Sequence[int]:
        return [k for link in self.links for k in link.places]

    @property
    def bottoms(self) -> Sequence[Blob]:
        return self.links[0].bottoms

    def params(self, own: Sequence[Tensors]) -> list[torch.Tensor]:
        return _params_of(self.links, self.places, own)

    def run(self, bottoms: Tensors, params: Tensors) -> torch.Tensor:
        windows = [side for link in self.links for side in link.window]
        relu = [one for link in self.links for one in link.relu]
        return operations.chain(bottoms[0], params, windows, relu, type(self.links[0]) is OfImage)


@dataclass(frozen=True)
class Normalized:
    """An LRN across channels."""

    title: ClassVar[str] = "LRN in one pass"
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


def _params_of(
    parts: Sequence[Branch] | Sequence[Link], places: Sequence[int], own: Sequence[Tensors]
) -> list[torch.Tensor]:
    """The parameters of all parts, from those of the layers at the places of the whole."""
    at = dict(zip(places, own))
    return [x for part in parts for x in part.params([at[k] for k in part.places])]
