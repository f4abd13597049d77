"""What Synopsys' reductions share: which axes, and whether they are kept."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Reduce(TensorLayer):
    """Reduces the axes that are listed (all where none is) to one value each."""

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    message: ClassVar[str]
    """The field of LayerParameter with ``axis`` (or ``axes``) and ``keepdims``."""

    def _param(self) -> Any:
        return getattr(self.param, self.message)

    def _axes(self, shape: Shape) -> tuple[int, ...]:
        p = self._param()
        listed = p.axes if hasattr(p, "axes") else p.axis
        return tuple(sorted({self.axis(a, shape) for a in listed})) or tuple(range(len(shape)))

    def check(self, shape: Shape) -> None:
        self._axes(shape)

    def reduce(self, x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
        """x with the axes reduced."""
        raise self.error("has no reduce()", fix="Define reduce(x, axes, keep) in the layer's class")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return self.reduce(x, self._axes(tuple(x.shape)), bool(self._param().keepdims))
