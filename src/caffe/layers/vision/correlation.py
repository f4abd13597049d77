"""Correlation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class Correlation(TensorLayer):
    """Compares patches of one map with those around the same place of another.

    Channel (i·D + j), D = 2·⌊max_displacement/stride_2⌋ + 1, is the mean over the kernel_size² patch and
    all channels of a(x) · b(x + d) (MULTIPLY), or of |a(x) - b(x + d)| (SUBTRACT), d = stride_2·(i - D/2, j
    - D/2) in rows and columns. Both maps have ``pad`` zeros around them. ``do_abs`` and ``single_direction``
    have no effect, as in the original.

    bottom: a; b, of one shape N × C × H × W. top: N × D² × H' × W', H' = ⌈(H + 2 pad - 2 border)/stride_1⌉,
    border = max_displacement + (kernel_size - 1)/2.
    Differs from Caffe: SUBTRACT's gradient is the derivative; the original takes signs of other pairs.
    Source: lmb-freiburg/flownet2, synopsys-caffe; Dosovitskiy et al. 2015.
    """

    num_bottoms = 2
    origin = "FlowNet 2 (lmb-freiburg/flownet2)"
    reads = {"correlation_param": "* -single_direction"}
    rows = True
    """Whether rows are displaced, too."""

    def check(self, a: Shape, b: Shape) -> None:
        p = self.param.correlation_param
        if p.kernel_size < 1 or p.kernel_size % 2 == 0:
            raise self.error(f"must be given and odd; got {p.kernel_size}", field="kernel_size")
        for field in ("stride_1", "stride_2"):
            if getattr(p, field) < 1:
                raise self.error(f"must be at least 1; got {getattr(p, field)}", field=field)
        if len(a) != 4 or a != b:
            raise self.shape_error(f"the bottoms must have one shape N×C×H×W; got {list(a)} and {list(b)}")
        if min(self._size(a)) < 1:
            raise self.shape_error(
                f"the displacements must fit into the padded map; got shape {list(a)}",
                fix="Enlarge pad or reduce max_displacement",
            )

    def _size(self, shape: Shape) -> tuple[int, int]:
        p = self.param.correlation_param
        radius = (p.kernel_size - 1) // 2
        border_w = p.max_displacement + radius
        border_h = border_w if self.rows else radius
        pad_h = p.pad if self.rows else 0
        return (
            math.ceil((shape[2] + 2 * pad_h - 2 * border_h) / p.stride_1),
            math.ceil((shape[3] + 2 * p.pad - 2 * border_w) / p.stride_1),
        )

    def steps(self) -> range:
        """The displacements along an axis."""
        p = self.param.correlation_param
        most = p.max_displacement // p.stride_2
        return range(-most * p.stride_2, most * p.stride_2 + 1, p.stride_2)

    def compute(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        p = self.param.correlation_param
        height, width = self._size(tuple(a.shape))
        radius, reach = (p.kernel_size - 1) // 2, p.max_displacement
        pad_h, reach_h = (p.pad, reach) if self.rows else (0, 0)
        steps = self.steps()
        beyond = max(0, -steps[0] - reach)  # columns to the left of b's padding that are looked at
        a = F.pad(a, (p.pad, p.pad, pad_h, pad_h))
        b = F.pad(b, (p.pad + beyond, p.pad, pad_h, pad_h))
        # what the patches of all places cover
        high = (height - 1) * p.stride_1 + p.kernel_size
        wide = (width - 1) * p.stride_1 + p.kernel_size
        block = a[:, :, reach_h : reach_h + high, reach : reach + wide]
        scale = 1 / (p.kernel_size**2 * a.shape[1])
        subtract = p.correlation_type == caffe_pb2.CorrelationParameter.SUBTRACT
        channels = []
        for down in steps if self.rows else (0,):
            for right in steps:
                top, left = reach_h + down, reach + beyond + right
                other = b[:, :, top : top + high, left : left + wide]
                each = (block - other).abs() if subtract else block * other
                channels.append(each.sum(1, keepdim=True))
        sums = torch.cat(channels, 1)
        if radius or p.stride_1 > 1:
            sums = F.avg_pool2d(sums, p.kernel_size, p.stride_1, divisor_override=1)
        return sums * scale
