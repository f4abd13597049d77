"""Pad."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.utility._paddings import check_paddings
from caffe.tensor_layer import TensorLayer


class Pad(TensorLayer):
    """Puts ``constant_values`` around the bottom: paddings[2i] before and paddings[2i + 1] after axis i.

    bottom: x. top: each axis with its paddings.
    Differs from Caffe: nothing known. Source: synopsys-caffe.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"pad_param": "*"}

    def check(self, shape: Shape) -> None:
        check_paddings(self, list(self.param.pad_param.paddings), shape)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.pad_param
        pairs = list(zip(p.paddings[::2], p.paddings[1::2]))
        return F.pad(x, [size for pair in reversed(pairs) for size in pair], value=p.constant_values)
