"""BroadcastMul."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class BroadcastMul(TensorLayer):
    """Multiplies each channel of each image by a value: y = a · b.

    bottom: a (N × C × H × W); b (N × C, or N × C × 1 × 1). top: y of a's shape.
    Differs from Caffe: the gradient is the product's; the original's backward overwrites the bottoms' data.
    Source: jolibrain/caffe.
    """

    num_bottoms = 2
    origin = "jolibrain/caffe"

    def check(self, a: Shape, b: Shape) -> None:
        if len(a) < 2 or b[:2] != a[:2] or any(size != 1 for size in b[2:]):
            raise self.shape_error(
                f"bottom 1 must be N×C (×1×1) like bottom 0; got shapes {list(a)} and {list(b)}"
            )

    def compute(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a * b.reshape(*a.shape[:2], *[1] * (a.dim() - 2))
