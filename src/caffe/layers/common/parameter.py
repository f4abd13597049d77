"""Parameter."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import BlobSpec, TensorLayer


class Parameter(TensorLayer):
    """A learned blob as a top, for layers that take it as a bottom.

    bottom: none. top: the parameter. blobs: the parameter, of the given ``shape``, zeros at first.
    Differs from Caffe: gradients of several backwards are added (``iter_size``). Source: BVLC ``Parameter``.
    """

    num_bottoms = 0
    reads = {"parameter_param": "*"}

    def declare(self) -> list[BlobSpec]:
        shape: Shape = tuple(self.param.parameter_param.shape.dim)
        if any(dim < 0 for dim in shape):
            raise self.shape_error(f"each dim must be at least 0; got {list(shape)}", field="shape")
        return [BlobSpec(shape)]

    def compute(self, parameter: torch.Tensor) -> torch.Tensor:
        return parameter
