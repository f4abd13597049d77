"""Ceil."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class Ceil(TensorLayer):
    """The next whole number up: y = ⌈x⌉; no gradient.

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    differentiable = False

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ceil(x)
