"""AutoCrop."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class AutoCrop(TensorLayer):
    """Cuts the middle of the first bottom to the second's height and width (half of what is left over goes
    first).

    bottom: x (N × C × H × W); another (… × H' × W'), for its size. top: x's H' × W' in the middle.
    Differs from Caffe: the original finds the offset by following the layers from one bottom to the other,
    which for nets whose layers are centred is the same. Source: s9xie/hed, yun-liu/rcf.
    """

    num_bottoms = 2
    no_gradient = (1,)
    origin = "HED (s9xie/hed)"
    in_place = False

    def check(self, x: Shape, like: Shape) -> None:
        if len(x) != 4 or len(like) != 4 or x[2] < like[2] or x[3] < like[3]:
            raise self.shape_error(
                f"bottom 0 must be N×C×H×W, at least as high and wide as bottom 1; got {list(x)} and"
                f" {list(like)}"
            )

    def compute(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        height, width = like.shape[2:]
        top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
        return x[:, :, top : top + height, left : left + width].clone()
