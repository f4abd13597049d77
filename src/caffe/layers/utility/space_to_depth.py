"""SpaceToDepth."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.utility.depth_to_space import check_blocks
from caffe.tensor_layer import TensorLayer


class SpaceToDepth(TensorLayer):
    """Moves positions to channels: row i and column j of each b × b block become channel (i·b + j)·C + c.

    bottom: x (N × C × H × W, or N × H × W × C with ``data_format`` "NHWC", the default).
    top: b²·C channels, H/b rows and W/b columns, b the ``block_size``.
    Differs from Caffe: nothing known. Source: synopsys-caffe, as TensorFlow's space_to_depth.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"space_to_depth_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.space_to_depth_param
        check_blocks(self, p.block_size, p.data_format, shape)
        sizes = shape[1:3] if p.data_format == "NHWC" else shape[2:]
        if any(size % p.block_size for size in sizes):
            raise self.shape_error(
                f"height and width must be multiples of block_size {p.block_size}; got {list(sizes)}"
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.space_to_depth_param
        b = p.block_size
        x = x.permute(0, 3, 1, 2) if p.data_format == "NHWC" else x
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // b, b, w // b, b)
        if p.data_format == "NHWC":
            return blocks.permute(0, 2, 4, 3, 5, 1).reshape(n, h // b, w // b, c * b * b)
        return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)
