"""BatchNorm."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, TensorLayer


class BatchNorm(TensorLayer):
    """Batch normalization without learned scale and shift (put a Scale layer behind it for those).

    y = (x − mean) / √(var + eps). In training, mean and var are those of each channel over the batch, and the
    running sums become λ·sum + mean, λ·sum + m/(m − 1)·var and λ·sum + 1, with λ =
    ``moving_average_fraction`` and m values a channel. In testing (``use_global_stats``) mean and var are the
    first two sums over the third, or 0 where it is 0.

    bottom: x (N × C × …, or one axis, taken as one channel). top: y of x's shape.
    blobs: sum of means (C), sum of variances (C), sum of weights (1). The solver leaves them alone.
    Differs from Caffe: nothing known. Source: BVLC ``BatchNorm``; Ioffe & Szegedy 2015.
    """

    _global: bool

    def check(self, shape: Shape) -> None:
        if not shape:
            raise self.shape_error("the bottom must have at least 1 axis; got a scalar")
        p = self.param.batch_norm_param
        given = p.HasField("use_global_stats")
        self._global = p.use_global_stats if given else self.phase == caffe_pb2.TEST
        if not self._global:
            self.keep_graph = True  # computing again for backward would count the batch twice
        channels = shape[1] if len(shape) > 1 else 1
        if len(self.blobs) and self.blobs[0].shape != (channels,):
            raise self.shape_error(
                f"a bottom of shape {list(shape)} has {channels} channels; the layer's statistics are for"
                f" {self.blobs[0].shape[0]}",
                fix="Keep the number of channels (axis 1) that the net was built for",
            )

    def declare(self, shape: Shape) -> list[BlobSpec]:
        channels = shape[1] if len(shape) > 1 else 1
        return [BlobSpec((count,), learns=False) for count in (channels, channels, 1)]

    def compute(
        self,
        x: torch.Tensor,
        mean_sum: torch.Tensor,
        var_sum: torch.Tensor,
        weight_sum: torch.Tensor,
        scale: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The normalized x; a Scale behind it that the net merges with it gives ``scale`` and ``bias``."""
        if x.dim() == 1:
            return self.compute(x.unsqueeze(1), mean_sum, var_sum, weight_sum).squeeze(1)
        p = self.param.batch_norm_param
        if self._global:
            factor = torch.where(weight_sum == 0, 0.0, weight_sum.reciprocal())
            mean, var = (mean_sum * factor).detach(), (var_sum * factor).detach()
            return torch.batch_norm(x, scale, bias, mean, var, False, 0.0, p.eps, False)
        count = math.prod(x.shape) // max(x.shape[1], 1)
        if x.is_meta:
            return torch.empty_like(x)
        mean, var = torch.zeros_like(mean_sum), torch.zeros_like(var_sum)
        # With a momentum of 1 the "running" statistics are this batch's, the variance times m/(m − 1), plus 0 times
        # what was there (which therefore must be finite).
        y = torch.batch_norm(x, scale, bias, mean, var, True, 1.0, p.eps, False)
        if count == 1:
            var.zero_()
        with torch.no_grad():
            for total, value in ((mean_sum, mean), (var_sum, var), (weight_sum, 1.0)):
                total.mul_(p.moving_average_fraction).add_(value)
        return y
