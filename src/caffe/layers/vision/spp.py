"""SPP."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.vision import _pool
from caffe.layers.vision._pool import Pool
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class SPP(TensorLayer):
    """Spatial pyramid pooling: a vector of one length for images of any size.

    Level l = 0 … pyramid_height − 1 pools 2^l × 2^l windows: with b = 2^l and kernel = stride = ⌈size / b⌉
    along an axis, and a pad of ⌈(kernel·b − size) / 2⌉. The levels are flattened and concatenated.

    bottom: x (N × C × H × W).
    top: y (N × C·(4^pyramid_height − 1)/3); N × C × 1 × 1 for a pyramid_height of 1, as in the original.
    Differs from Caffe: STOCHASTIC works on the CPU. Source: BVLC ``SPP``; He et al. 2014.
    """

    reads = {"spp_param": "*"}

    levels: list[tuple[Pool, bool]]

    def check(self, shape: Shape) -> None:
        p = self.param.spp_param
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must be N×C×H×W; got shape {list(shape)}")
        if min(shape[2:]) < 1:
            raise self.shape_error(f"the bottom must have at least 1 row and column; got shape {list(shape)}")
        if p.pyramid_height < 1:
            raise self.error(f"must be at least 1; got {p.pyramid_height}", field="pyramid_height")
        self.levels = []
        for level in range(p.pyramid_height):
            pool = self._level(shape[2:], 2**level)
            if any(pad >= kernel for pad, kernel in zip(pool.pad, pool.kernel)):
                raise self.shape_error(
                    f"{p.pyramid_height} is too much for a bottom of shape {list(shape)}: level {level} would have"
                    f" windows of {pool.kernel[0]}×{pool.kernel[1]}, no larger than their pad"
                    f" {pool.pad[0]}×{pool.pad[1]}",
                    field="pyramid_height",
                    fix="Use fewer levels or larger images",
                )
            if any(pool.pad) and p.pool == _pool.STOCHASTIC:
                raise self.shape_error(
                    f"STOCHASTIC pooling takes no padding, which level {level} needs for a bottom of shape"
                    f" {list(shape)}",
                    field="pool",
                    fix=f"Use sizes that {2**level} divides",
                )
            self.levels.append((pool, pool.regular(shape[2:])))

    @staticmethod
    def _level(spatial: Shape, bins: int) -> Pool:
        kernel = tuple(-(-size // bins) for size in spatial)
        pad = tuple((k * bins - size + 1) // 2 for k, size in zip(kernel, spatial))
        return Pool(kernel, kernel, pad)

    @property
    def draws(self) -> bool:
        return self.param.spp_param.pool == _pool.STOCHASTIC and self.phase == caffe_pb2.TRAIN

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        tops = [self._pool(x, *level) for level in self.levels]
        return tops[0] if len(tops) == 1 else torch.cat([y.flatten(1) for y in tops], 1)

    def _pool(self, x: torch.Tensor, pool: Pool, regular: bool) -> torch.Tensor:
        method = self.param.spp_param.pool
        if method == _pool.STOCHASTIC:
            return _pool.stochastic_pool(x, pool, self.phase == caffe_pb2.TRAIN)
        return (_pool.max_pool if method == _pool.MAX else _pool.average_pool)(x, pool, regular)
