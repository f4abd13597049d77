"""Pooling."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.vision import _pool
from caffe.layers.vision._pool import Pool
from caffe.layers.vision._side_padding import SidePool, average_pool, read_sides
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class Pooling(TensorLayer):
    """Each channel's windows become one value each: the largest (MAX), the mean (AVE), or one drawn by chance
    (STOCHASTIC: with probability x / Σx in training; Σx² / Σx in testing).

    The number of windows along an axis is ⌈(size + 2·pad − kernel) / stride⌉ + 1 (⌊ ⌋ for ``round_mode:
    FLOOR``), less the last one where there is padding and it would start behind size + pad. AVE divides by
    the window's size, clipped to size + pad, so zeros of the padding count. Of equal values in a MAX window
    the first gets the gradient.

    bottom: x (N × C × H × W, or 1 to 3 spatial axes).
    top: y (N × C × H′ × W′); for MAX also, if wanted, the place of each value in its H·W plane, as a float.
    Forks: ``ceil_mode: false`` is FLOOR; pad_l, pad_r, pad_t, pad_b pad each side, ``pad_type: 1`` as
    TensorFlow's SAME; AVE_EXC_PAD (or ``avg_include_pad: false``) counts no padding.
    Differs from Caffe: 1 and 3 spatial axes work; STOCHASTIC works on the CPU; ``engine`` chooses nothing.
    Source: BVLC ``Pooling``; Zeiler & Fergus 2013 for STOCHASTIC.
    """

    num_tops = (1, 2)
    reads = {"pooling_param": "* ceil_mode pad_type pad_l pad_r pad_t pad_b avg_include_pad"}

    pool: Pool
    _regular: bool
    counts_padding: bool

    def check(self, shape: Shape) -> None:
        p = self.param.pooling_param
        spatial = shape[2:]
        if not 1 <= len(spatial) <= 3:
            raise self.shape_error(f"the bottom must be N×C and 1 to 3 spatial axes; got shape {list(shape)}")
        if self.top_count > 1 and p.pool != _pool.MAX:
            raise self.error(
                f"two tops are for MAX, whose second top is the mask; got {self._method()}", field="pool"
            )
        self.pool = self.read_pool(spatial)
        if any(self.pool.pad) and p.pool == _pool.STOCHASTIC:
            raise self.error("must be 0 for STOCHASTIC pooling", field="pad")
        for pad, kernel in zip(self.pool.pad, self.pool.kernel):
            if pad >= kernel:
                raise self.error(f"must be less than the kernel, {kernel}; got {pad}", field="pad")
        if min(self.pool.counts(spatial)) < 1:
            raise self.shape_error(
                "the kernel must fit in the padded input: " + _pool.describe(spatial, self.pool),
                field="kernel_size",
            )
        self._regular = self.pool.regular(spatial)
        self.counts_padding = p.pool == _pool.AVE and p.avg_include_pad
        if not self.counts_padding and p.pool not in (_pool.MAX, _pool.STOCHASTIC) and len(spatial) != 2:
            raise self.shape_error(f"averages without the padding are for 2 spatial axes; got {list(shape)}")

    def _method(self) -> str:
        return caffe_pb2.PoolingParameter.PoolMethod.Name(self.param.pooling_param.pool)

    def read_pool(self, spatial: Shape) -> Pool:
        """The windows for a bottom of this spatial shape."""
        p = self.param.pooling_param
        axes = len(spatial)
        stride = self._sizes("stride", "stride_h", "stride_w", axes, least=1)
        pad = self._sizes("pad", "pad_h", "pad_w", axes, least=0)
        if p.HasField("ceil_mode") and p.HasField("round_mode"):
            raise self.error(
                "must not be given together with round_mode: they are of different forks", field="ceil_mode"
            )
        ceil = p.round_mode == caffe_pb2.PoolingParameter.CEIL and p.ceil_mode
        if not p.global_pooling:
            if not (p.HasField("kernel_size") or p.HasField("kernel_h") or p.HasField("kernel_w")):
                raise self.error(
                    "must be given (or kernel_h and kernel_w, or global_pooling)", field="kernel_size"
                )
            kernel = self._sizes("kernel_size", "kernel_h", "kernel_w", axes, least=1)
            sides = read_sides(self, p, spatial, kernel, stride)
            if sides is None:
                return Pool(kernel, stride, pad, ceil)
            before, after = (tuple(side[i] for side in sides) for i in (0, 1))
            return SidePool(kernel, stride, before, ceil, after, same=p.pad_type == 1)
        for field in ("kernel_size", "kernel_h", "kernel_w"):
            if p.HasField(field):
                raise self.error(
                    "must not be given with global_pooling, which takes the whole input", field=field
                )
        if any(pad) or any(s != 1 for s in stride):
            raise self.error(
                "global_pooling must go with pad 0 and stride 1", field="pad" if any(pad) else "stride"
            )
        return Pool(spatial, stride, pad, ceil)

    def _sizes(self, field: str, field_h: str, field_w: str, axes: int, least: int) -> tuple[int, ...]:
        p = self.param.pooling_param
        sizes: tuple[int, ...] = (getattr(p, field),) * axes
        pair = [p.HasField(field_h), p.HasField(field_w)]
        if any(pair):
            if p.HasField(field) or not all(pair):
                raise self.error(f"must be given as {field}, or as {field_h} and {field_w} both", field=field)
            if axes != 2:
                raise self.error(
                    f"{field_h} and {field_w} are for 2 spatial axes; this bottom has {axes}", field=field_h
                )
            sizes = (getattr(p, field_h), getattr(p, field_w))
        if min(sizes) < least:
            raise self.error(f"must be at least {least}; got {min(sizes)}", field=field)
        return sizes

    @property
    def draws(self) -> bool:
        return self.param.pooling_param.pool == _pool.STOCHASTIC and self.phase == caffe_pb2.TRAIN

    def compute(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        p = self.param.pooling_param
        if p.pool == _pool.MAX:
            if self.top_count == 1:
                return _pool.max_pool(x, self.pool, self._regular)
            y, mask = _pool.max_pool_with_mask(x, self.pool, self._regular)
            return y, mask.to(x.dtype)
        if p.pool == _pool.STOCHASTIC:
            return _pool.stochastic_pool(x, self.pool, self.phase == caffe_pb2.TRAIN)
        if isinstance(self.pool, SidePool) or not self.counts_padding:
            return average_pool(x, self.pool, self.counts_padding)
        return _pool.average_pool(x, self.pool, self._regular)
