"""ICNetSubgraph."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.vision._pool import Pool, average_pool
from caffe.tensor_layer import TensorLayer

POOLS = tuple(
    Pool(kernel, stride, (0, 0))
    for kernel, stride in (
        ((33, 65), (33, 65)),
        ((17, 33), (16, 32)),
        ((13, 25), (10, 20)),
        ((8, 15), (5, 10)),
    )
)
"""Of ICNet on images of 1025 × 2049, whose maps are 33 × 65: 1, 2, 3 and 6 windows along each axis."""


class ICNetSubgraph(TensorLayer):
    """ICNet's pyramid of means in one layer: x plus four averages of it, each resized to x's size.

    The windows are 33 × 65, 17 × 33, 13 × 25 and 8 × 15 with strides 33 × 65, 16 × 32, 10 × 20 and 5 × 10, as many
    as Pooling makes; they are resized as Interp does, bilinear with aligned corners.

    bottom: x (N × C × H × W; at least 33 × 65). top: y of x's shape.
    Differs from Caffe: there is a gradient. Source: Synopsys ``ICNetSubgraph``; Zhao et al. 2018 (ICNet).
    """

    keeps_shape = True
    in_place = False
    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def check(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes; got shape {list(shape)}")
        least = POOLS[0].kernel
        if shape[2] < least[0] or shape[3] < least[1]:
            raise self.shape_error(
                f"height and width must be at least {least[0]} and {least[1]}; got shape {list(shape)}",
                fix="Give the net images of 1025 × 2049 or more, as ICNet has them",
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        y, size = x, tuple(x.shape[2:])
        for pool in POOLS:
            means = average_pool(x, pool, pool.regular(size))
            y = y + F.interpolate(means, size=size, mode="bilinear", align_corners=True)
        return y
