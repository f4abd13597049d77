"""Shape."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class Shape(TensorLayer):
    """The bottom's shape, as values. No gradient.

    bottom: x with k axes. top: k values.
    Differs from Caffe: nothing known. Source: synopsys-caffe.
    """

    differentiable = False
    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor(list(x.shape), dtype=x.dtype, device=x.device)
