"""TileND."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class TileND(TensorLayer):
    """Repeats the bottom along every axis: multiples[i] times along axis i.

    bottom: x. top: axis i has multiples[i] times its size.
    Differs from Caffe: nothing known. Source: synopsys-caffe.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"tile_nd_param": "*"}

    def check(self, shape: Shape) -> None:
        multiples = list(self.param.tile_nd_param.multiples)
        if len(multiples) != len(shape) or min(multiples, default=1) < 1:
            raise self.error(
                f"must be given once an axis, at least 1; got {multiples} for shape {list(shape)}",
                field="multiples",
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(*self.param.tile_nd_param.multiples)
