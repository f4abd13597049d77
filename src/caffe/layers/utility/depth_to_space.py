"""DepthToSpace."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class DepthToSpace(TensorLayer):
    """Moves channels to positions: channel (i·b + j)·C' + c goes to row i and column j of each b × b block.

    bottom: x (N × C × H × W, or N × H × W × C with ``data_format`` "NHWC", the default).
    top: C' = C / b² channels, b·H rows and b·W columns, b the ``block_size``.
    Differs from Caffe: nothing known. Source: synopsys-caffe, as TensorFlow's depth_to_space.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"depth_to_space_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.depth_to_space_param
        check_blocks(self, p.block_size, p.data_format, shape)
        channels = shape[3 if p.data_format == "NHWC" else 1]
        if channels % p.block_size**2:
            raise self.shape_error(
                f"the channels must be a multiple of block_size² = {p.block_size**2}; got {channels}"
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.depth_to_space_param
        b = p.block_size
        x = x.permute(0, 3, 1, 2) if p.data_format == "NHWC" else x
        n, c, h, w = x.shape
        blocks = x.reshape(n, b, b, c // (b * b), h, w)
        if p.data_format == "NHWC":
            return blocks.permute(0, 4, 1, 5, 2, 3).reshape(n, h * b, w * b, c // (b * b))
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, c // (b * b), h * b, w * b)


def check_blocks(layer: TensorLayer, block: int, data_format: str, shape: Shape) -> None:
    """Raise LayerError unless the block size, the format and the number of axes can be."""
    if block < 1:
        raise layer.error(f"must be at least 1; got {block}", field="block_size")
    if data_format not in ("NHWC", "NCHW"):
        raise layer.error(f"must be NHWC or NCHW; got '{data_format}'", field="data_format")
    if len(shape) != 4:
        raise layer.shape_error(f"the bottom must have 4 axes ({data_format}); got shape {list(shape)}")
