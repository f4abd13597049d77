"""AbsVal."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class AbsVal(TensorLayer):
    """Absolute value: y = |x|; the gradient at 0 is 0.

    bottom: x of any shape. top: y of x's shape, not in place.
    Differs from Caffe: nothing known. Source: BVLC ``AbsVal``.
    """

    keeps_shape = True
    in_place = False

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs()
