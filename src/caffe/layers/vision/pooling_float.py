"""PoolingFloat."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.vision import _pool
from caffe.layers.vision._fixed_point import passing
from caffe.layers.vision.pooling import Pooling


class PoolingFloat(Pooling):
    """Average pooling in whole numbers, on floats: the sum of a window is cut off at ±2^(15 - fl), cut to a whole
    number and cut off at ±128; y is that times round(128 / kernel_h·kernel_w) / 128, cut off at ±2^(il - 1) and
    rounded to sixteenths.

    ``qcodeconfig``, one with il + fl = 8, is the input's format. The gradient is that of the sum times the
    rounded share. MAX is for two tops, as of Pooling.

    bottom, top: as of Pooling with 2 spatial axes.
    Differs from Caffe: it is what the fork does on the GPU, on all devices (its CPU code does not round); a sum is
    cut off at its end, there at every step. Source: ICT-CHASE/On-accelerator-training ``PoolingFloat``.
    """

    full_precision = True
    origin = "On-accelerator training (ICT-CHASE/On-accelerator-training)"
    reads = {"pooling_param": "*"}

    def check(self, shape: Shape) -> None:
        configs = self.param.qcodeconfig
        if len(configs) != 1:
            raise self.error(f"must be given once; got {len(configs)}", field="qcodeconfig")
        il, fl = configs[0].il, configs[0].fl
        if il + fl != 8 or not 1 <= il <= 8:
            raise self.error(f"must have 8 bits, il from 1; got il {il} and fl {fl}", field="qcodeconfig")
        method = self.param.pooling_param.pool
        if method != _pool.AVE and not (method == _pool.MAX and self.top_count == 2):
            raise self.error(
                f"must be AVE, or MAX with two tops; got {self._method()}", field="pool", fix="Use Pooling"
            )
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes; got shape {list(shape)}")
        super().check(shape)

    def compute(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if self.top_count == 2:
            return super().compute(x)
        pool, format = self.pool, self.param.qcodeconfig[0]
        share = math.floor(128 / math.prod(pool.kernel) + 0.5) / 128
        sums = F.avg_pool2d(pool.padded(x, 0.0), pool.kernel, pool.stride, divisor_override=1)
        most = min(2.0 ** (15 - format.fl), 128)  # the fork cuts off at both
        means = sums.detach().clamp(-most, most).trunc() * share
        means = means.clamp(-(2.0 ** (format.il - 1)), 2.0 ** (format.il - 1)) * 16
        return passing(sums * share, means.sign() * (means.abs() + 0.5).floor() / 16)
