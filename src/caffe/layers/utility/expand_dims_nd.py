"""ExpandDimsND."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class ExpandDimsND(TensorLayer):
    """Puts axes of size 1 at the places listed as ``axis``, counted in the top's shape.

    bottom: x. top: x with len(axis) more axes.
    Differs from Caffe: nothing known. Source: synopsys-caffe.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"expand_dims_nd_param": "*"}

    def _places(self, shape: Shape) -> list[int]:
        listed = self.param.expand_dims_nd_param.axis
        count = len(shape) + len(listed)
        places = sorted(a + count if a < 0 else a for a in listed)
        if len(set(places)) != len(places) or (places and not 0 <= places[0] <= places[-1] < count):
            raise self.error(
                f"must be different places in [{-count}, {count - 1}]; got {list(listed)}", field="axis"
            )
        return places

    def check(self, shape: Shape) -> None:
        self._places(shape)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        for place in self._places(tuple(x.shape)):
            x = x.unsqueeze(place)
        return x
