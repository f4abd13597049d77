"""Pooling3D."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.vision import _pool
from caffe.layers.vision._pool import Pool
from caffe.tensor_layer import TensorLayer


class Pooling3D(TensorLayer):
    """Pooling over clips: windows of kernel_l frames and kernel_size² pixels become their largest value or
    mean.

    bottom: x (N × C × L × H × W). top: sizes rounded up, as Pooling's.
    Differs from Caffe: nothing known. Source: ZhaofanQiu/pseudo-3d-residual-networks; Tran et al. 2015.
    """

    origin = "pseudo-3D networks (ZhaofanQiu/pseudo-3d-residual-networks)"
    reads = {"pooling3d_param": "*"}
    in_place = False

    def check(self, shape: Shape) -> None:
        p = self.param.pooling3d_param
        if len(shape) != 5:
            raise self.shape_error(f"the bottom must be N×C×L×H×W; got shape {list(shape)}")
        if min(p.kernel_size, p.kernel_l) < 1 or min(p.stride, p.stride_l) < 1:
            raise self.error("kernels and strides must be at least 1", field="kernel_size")
        if p.pool not in (_pool.MAX, _pool.AVE):
            raise self.error("must be MAX or AVE", field="pool")
        self.pool = Pool(
            (p.kernel_l, *[p.kernel_size] * 2), (p.stride_l, *[p.stride] * 2), (p.pad_l, *[p.pad] * 2)
        )
        if min(self.pool.counts(shape[2:])) < 1:
            raise self.shape_error(f"the kernel must fit in the padded input; got shape {list(shape)}")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        regular = self.pool.regular(tuple(x.shape[2:]))
        if self.param.pooling3d_param.pool == _pool.AVE:
            return _pool.average_pool(x, self.pool, regular)
        if regular:
            return F.max_pool3d(x, self.pool.kernel, self.pool.stride, self.pool.pad, ceil_mode=True)
        return _pool.max_pool(x, self.pool, regular)
