"""MatMul."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import BlobSpec, TensorLayer


class MatMul(TensorLayer):
    """Product of the matrices in the last two axes: y = A·B, either transposed with ``transpose_a``/``_b``.

    bottom: A (… × M × K); B (… × K × N), or a learned matrix of ``blob_shape`` in its place. top: … × M × N.
    blobs: B where there is one bottom.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there).
    """

    num_bottoms = (1, 2)
    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"matmul_param": "*"}
    in_place = False

    def check(self, *shapes: Shape) -> None:
        p = self.param.matmul_param
        a = shapes[0]
        b = shapes[1] if len(shapes) == 2 else tuple(p.blob_shape)
        if not b:
            raise self.error("must be given where there is no second bottom", field="blob_shape")
        inner_a = a[-2 if p.transpose_a else -1] if len(a) >= 2 else None
        inner_b = b[-1 if p.transpose_b else -2] if len(b) >= 2 else None
        same = len(a) == len(b) and a[:-2] == b[:-2] if len(shapes) == 2 else True
        if inner_a is None or inner_a != inner_b or not same:
            raise self.shape_error(
                f"the matrices must fit (… × M × K and … × K × N, other axes equal); got {list(a)} and"
                f" {list(b)}"
            )

    def declare(self, *shapes: Shape) -> list[BlobSpec]:
        return [BlobSpec(tuple(self.param.matmul_param.blob_shape))] if len(shapes) == 1 else []

    def compute(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        p = self.param.matmul_param
        return (a.transpose(-1, -2) if p.transpose_a else a) @ (b.transpose(-1, -2) if p.transpose_b else b)
