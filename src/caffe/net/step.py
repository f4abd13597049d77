"""Step: a layer in its place in the net."""

from __future__ import annotations

from dataclasses import dataclass, field

from caffe.blob import Blob
from caffe.layer import Layer


@dataclass
class Step:
    """A layer in its place in the net."""

    layer: Layer
    line: int | None
    bottom: list[Blob] = field(default_factory=list)
    top: list[Blob] = field(default_factory=list)
    bottom_names: list[str] = field(default_factory=list)
    top_names: list[str] = field(default_factory=list)
    loss_weights: list[float] = field(default_factory=list)
    needs_backward: bool = False

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def propagate_down(self) -> list[bool]:
        """Which bottoms get a gradient."""
        return self.layer.needs.bottoms

    @property
    def has_loss(self) -> bool:
        return any(self.loss_weights)
