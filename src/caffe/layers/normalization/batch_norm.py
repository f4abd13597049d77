"""BatchNorm."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.normalization.mvn import normalize
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, Stateful, TensorLayer

Sums = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""The statistics: of means, of variances, of weights."""


class BatchNorm(TensorLayer):
    """Batch normalization without learned scale and shift (put a Scale layer behind it for those).

    y = (x − mean) / √(var + eps). In training, mean and var are those of each channel over the batch, and the
    running sums become λ·sum + mean, λ·sum + m/(m − 1)·var and λ·sum + 1, with λ =
    ``moving_average_fraction`` and m values a channel. In testing (``use_global_stats``) mean and var are the
    first two sums over the third, or 0 where it is 0.

    bottom: x (N × C × …, or one axis, taken as one channel). top: y of x's shape.
    blobs: sum of means (C), sum of variances (C), sum of weights (1), which the solver leaves alone; with
    NVIDIA's ``scale_bias`` (or a filler of them) also scale and bias (C each), learned.
    Forks: with ``scale_bias`` the statistics are NVIDIA's: λ·mean + (1 − λ)·batch's, the first batch's as they
    are, the variance not corrected, the third blob 1; TEST always uses them; eps is
    at least 1e-5, and the rates (``param``) are 0 for statistics, 1 for scale and bias. ``relu`` puts a ReLU behind it
    (Intel). Without ``add_eps_before_sqrt`` (Synopsys) the divisor is √var + eps.
    Differs from Caffe: NVIDIA takes the first two batches' statistics as they are, also of loaded weights.
    Source: BVLC ``BatchNorm``; NVIDIA/caffe; Ioffe & Szegedy 2015.
    """

    keeps_shape = True
    reads = {"batch_norm_param": "* scale_filler bias_filler scale_bias relu add_eps_before_sqrt"}
    _global: bool
    plain = True
    """Whether it is BVLC's: three blobs, eps under the root, nothing behind it."""

    def __init__(self, param: caffe_pb2.LayerParameter) -> None:
        p = param.batch_norm_param
        # a bias_filler with a filler is Intel's
        self._scaled = (
            p.scale_bias
            or p.HasField("scale_filler")
            or (p.HasField("bias_filler") and not p.HasField("filler"))
        )
        super().__init__(_nvidia_rates(param) if self._scaled else param)

    def check(self, shape: Shape) -> None:
        if not shape:
            raise self.shape_error("the bottom must have at least 1 axis; got a scalar")
        p = self.param.batch_norm_param
        self.plain = not (self._scaled or p.relu) and p.add_eps_before_sqrt
        given = p.HasField("use_global_stats")
        self._global = p.use_global_stats if given else self.phase == caffe_pb2.TEST
        if self._scaled and self.phase == caffe_pb2.TEST:
            self._global = True  # whatever use_global_stats says
        channels = shape[1] if len(shape) > 1 else 1
        if len(self.blobs) and self.blobs[0].shape != (channels,):
            raise self.shape_error(
                f"a bottom of shape {list(shape)} has {channels} channels; the layer's statistics are for"
                f" {self.blobs[0].shape[0]}",
                fix="Keep the number of channels (axis 1) that the net was built for",
            )

    def declare(self, shape: Shape) -> list[BlobSpec]:
        p, channels = self.param.batch_norm_param, shape[1] if len(shape) > 1 else 1
        specs = [BlobSpec((count,), learns=False) for count in (channels, channels, 1)]
        if self._scaled:
            one = caffe_pb2.FillerParameter(type="constant", value=1)
            specs[2] = BlobSpec((1,), one, learns=False)
            specs.append(BlobSpec((channels,), p.scale_filler if p.HasField("scale_filler") else one))
            specs.append(BlobSpec((channels,), p.bias_filler))
        return specs

    def compute(
        self,
        x: torch.Tensor,
        mean_sum: torch.Tensor,
        var_sum: torch.Tensor,
        weight_sum: torch.Tensor,
        scale: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor | Stateful:
        """The normalized x; a Scale behind it that the net merges with it gives ``scale`` and ``bias``."""
        line = x.dim() == 1
        y, state = self._normalize(
            x.unsqueeze(1) if line else x, (mean_sum, var_sum, weight_sum), scale, bias
        )
        y = y.squeeze(1) if line else y
        y = F.relu(y) if self.param.batch_norm_param.relu else y
        return Stateful(y, state) if state else y

    @property
    def is_global(self) -> bool:
        """Whether it normalizes by the statistics of training, not by the batch's."""
        return self._global

    @property
    def changes_state(self) -> bool:
        return not self._global

    def line(
        self, mean_sum: torch.Tensor, var_sum: torch.Tensor, weight_sum: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Where it is plain and global: s and t (C each) of y = s·x + t."""
        mean, var = _statistics(mean_sum, var_sum, weight_sum)
        scale = torch.rsqrt(var + self.param.batch_norm_param.eps)
        return scale, -mean * scale

    def _normalize(
        self, x: torch.Tensor, sums: Sums, scale: torch.Tensor | None, bias: torch.Tensor | None
    ) -> tuple[torch.Tensor, Sums | None]:
        """y, and the statistics that take their place where the batch's were used."""
        p = self.param.batch_norm_param
        eps = max(p.eps, 1e-5) if self._scaled else p.eps
        if self._global:
            mean, var = _statistics(*sums)
            if not p.add_eps_before_sqrt:
                var, eps = (var.sqrt() + eps).square(), 0.0
            return torch.batch_norm(x, scale, bias, mean, var, False, 0.0, eps, True), None
        count = math.prod(x.shape) // max(x.shape[1], 1)
        if x.is_meta:
            return torch.empty_like(x), None
        mean, var = torch.zeros_like(sums[0]), torch.zeros_like(sums[1])
        # With a momentum of 1 the "running" statistics are this batch's, the variance times m/(m − 1), plus 0 times
        # what was there (which therefore must be finite).
        y = torch.batch_norm(x, scale, bias, mean, var, True, 1.0, eps, True)
        if not p.add_eps_before_sqrt:
            y = normalize(x, (0, *range(2, x.dim())), eps)
            if scale is not None and bias is not None:
                ones = (1,) * (x.dim() - 2)
                y = y * scale.view(-1, *ones) + bias.view(-1, *ones)
        if count == 1:
            var = torch.zeros_like(var)  # not in place: the graph holds the other
        with torch.no_grad():
            if self._scaled:
                return y, self._average(sums, mean, var * ((count - 1) / count))
            fraction = p.moving_average_fraction
            mean_sum, var_sum, weight_sum = sums
            return y, (
                torch.add(mean, mean_sum, alpha=fraction),
                torch.add(var, var_sum, alpha=fraction),
                weight_sum * fraction + 1.0,
            )

    def _average(self, sums: Sums, *batch: torch.Tensor) -> Sums:
        """NVIDIA's statistics, moved towards a batch's; without any yet, those."""
        mean, var, weight = sums
        fraction, none_yet = self.param.batch_norm_param.moving_average_fraction, ~var.any()
        moved = [
            torch.where(none_yet, value, total / weight * fraction + value * (1 - fraction))
            for total, value in zip((mean, var), batch)
        ]
        return moved[0], moved[1], torch.ones_like(weight)


def _statistics(
    mean_sum: torch.Tensor, var_sum: torch.Tensor, weight_sum: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and variance of training; no gradient goes through them."""
    factor = torch.where(weight_sum == 0, 0.0, weight_sum.reciprocal())
    return (mean_sum * factor).detach(), (var_sum * factor).detach()


def _nvidia_rates(param: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    """A copy with the rates that NVIDIA's layer sets whatever the file says: 0 for statistics, 1 for the learned."""
    changed = caffe_pb2.LayerParameter()
    changed.CopyFrom(param)
    while len(changed.param) < 5:
        changed.param.add()
    for i, spec in enumerate(changed.param):
        spec.lr_mult = spec.decay_mult = float(i > 2)
    return changed
