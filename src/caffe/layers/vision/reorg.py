"""Reorg."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Reorg(TensorLayer):
    """Move s × s pixels into channels, in darknet's peculiar order; s is ``stride``.

    The order is that of an image of C / s² channels and s times the height and width with the same values in
    memory; ``reverse`` puts them back.

    bottom: x (N × C × H × W; C a multiple of s²). top: y (N × C·s² × H/s × W/s); with ``reverse``
    (N × C/s² × H·s × W·s).
    Differs from Caffe: the top has the shape that the stride says, ``reverse`` works, and there is a
    gradient, where the forks' top is always made for a stride of 2 and their backward ignores the gradient
    that arrives.
    Source: Synopsys and eric612/MobileNet-YOLO ``Reorg``; Redmon & Farhadi 2017.
    """

    origin = (
        "MobileNet-YOLO (eric612/MobileNet-YOLO), "
        "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    )
    reads = {"reorg_param": "*"}
    in_place = False

    def check(self, shape: Shape) -> None:
        p = self.param.reorg_param
        if p.stride < 1:
            raise self.error(f"must be at least 1; got {p.stride}", field="stride")
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes; got shape {list(shape)}")
        divisor = p.stride ** (4 if p.reverse else 2)
        if shape[1] % divisor:
            raise self.shape_error(f"the channels must be a multiple of {divisor}; got shape {list(shape)}")
        if not p.reverse and (shape[2] % p.stride or shape[3] % p.stride):
            raise self.shape_error(
                f"height and width must be multiples of the stride {p.stride}; got shape {list(shape)}"
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.reorg_param
        s = p.stride
        n, c, h, w = x.shape
        if p.reverse:
            planes = x.reshape(n, s, s, c // s**4, w * s, h * s).permute(0, 3, 4, 1, 5, 2)
            return planes.reshape(n, c // s**2, h * s, w * s)
        # darknet's layer takes the height for the width: the values in memory are those of an image W high, H
        # wide
        planes = x.reshape(n, c // s**2, w, s, h, s).permute(0, 3, 5, 1, 2, 4)
        return planes.reshape(n, c * s**2, h // s, w // s)
