"""BN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, Stateful, TensorLayer

SEGNET = ("scale_filler", "shift_filler", "bn_mode")
PSPNET = ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "icnet", "inverse_std")
HAPPYNEAR = ("var_eps", "decay")


@dataclass(frozen=True)
class Layout:
    """What the forks' layers differ in."""

    fillers: tuple[caffe_pb2.FillerParameter, caffe_pb2.FillerParameter]
    axes: int  # of the parameters
    eps: float
    statistics: bool = True  # whether running statistics are kept
    momentum: float = 0.0
    first_variance: float = 1.0
    frozen: bool = False


class BN(TensorLayer):
    """Batch normalization in one layer: y = a · (x - mean) / √(variance + eps) + b, per channel. Four layers
    of one name, told apart by their fields:

    SegNet (``scale_filler``, ``shift_filler``, or no field): a and b only. The batch's statistics are used in
    TEST too; with ``bn_mode: INFERENCE`` y = a · x + b, the statistics being folded in. eps is 1e-9. Two more
    tops are the batch's mean and variance.

    PSPNet, yjxiong (``slope_filler``, ``bias_filler``, ``momentum``, ``eps``, ``frozen``): running mean and
    variance, running = momentum · running + (1 - momentum) · batch, are used in TEST; ``frozen`` uses them in
    TRAIN and learns nothing. ``icnet: true`` (Synopsys) says the same, with parameters of four axes, as PSPNet
    has them; ``moving_average: false`` (older) keeps none. In TEST, unless frozen, the gradient of x is computed as
    if the running statistics were the batch's, as the forks do.

    caffe-windows, older (``scale_filler``, ``shift_filler`` with ``var_eps``, ``decay`` or
    ``moving_average``): the same, with running = (1 - decay) · running + decay · batch, and var_eps.

    caffe-windows, newer: PSPNet's fields, but blob 3 is the running 1 / √(variance + eps), and TEST
    multiplies by it. Nothing in its files tells; ``dialect="caffe-windows"`` (or ``inverse_std: true``) does.

    bottom: x (N × C × …). top: y of x's shape, [mean, variance (1 × C × 1 × 1)].
    blobs: a, b, [mean, variance or 1 / √(variance + eps)], each of C values.
    Differs from Caffe: nothing known, but for ``inverse_std``.
    Source: alexgkendall/caffe-segnet, hszhao/PSPNet, yjxiong/caffe, happynear/caffe-windows ``BN``.
    """

    origin = (
        "SegNet (alexgkendall/caffe-segnet), "
        "PSPNet (hszhao/PSPNet), "
        "temporal segment networks (yjxiong/caffe), "
        "caffe-windows (happynear/caffe-windows)"
    )
    reads = {"bn_param": "*"}
    num_tops = (1, 3)

    def check(self, shape: Shape) -> None:
        p = self.param.bn_param
        segnet, pspnet, happynear = (
            [f for f in fields if p.HasField(f)] for fields in (SEGNET, PSPNET, HAPPYNEAR)
        )
        if pspnet and (segnet or happynear):
            raise self.error(
                f"and {pspnet[0]} are fields of different forks' BN",
                field=[*segnet, *happynear][0],
                fix="scale_filler and shift_filler are SegNet's, slope_filler and bias_filler PSPNet's",
            )
        if p.HasField("bn_mode") and (happynear or p.HasField("moving_average")):
            raise self.error(
                "is SegNet's; var_eps, decay and moving_average are caffe-windows'", field="bn_mode"
            )
        if len(shape) < 2:
            raise self.shape_error(f"the bottom must have at least 2 axes; got shape {list(shape)}")
        if self.top_count > 1 and (self.layout.statistics or p.bn_mode == p.INFERENCE):
            raise self.error(f"only SegNet's layer has tops for mean and variance; got {self.top_count} tops")
        if len(self.blobs) and self.blobs[0].count != shape[1]:
            raise self.shape_error(
                f"has parameters for {self.blobs[0].count} channels; got shape {list(shape)}"
            )

    @property
    def layout(self) -> Layout:
        """Which fork's layer the fields mean."""
        p = self.param.bn_param
        if any(p.HasField(f) for f in PSPNET):
            return Layout(
                (p.slope_filler, p.bias_filler), 4 if p.icnet else 2, p.eps,
                statistics=p.moving_average, momentum=p.momentum, frozen=p.frozen,
                first_variance=1.0 if p.frozen or p.inverse_std else 0.0,
            )  # fmt: skip
        if any(p.HasField(f) for f in (*HAPPYNEAR, "moving_average")):
            return Layout(
                (p.scale_filler, p.shift_filler), 4, p.var_eps,
                statistics=p.moving_average, momentum=1 - p.decay, first_variance=0.0,
            )  # fmt: skip
        return Layout((p.scale_filler, p.shift_filler), 4, 1e-9, statistics=False)

    def adapt_weights(self, arrays: Sequence[Any]) -> list[Any]:
        """A file's parameters in the shape of these: forks give them two axes or four."""
        shapes = [blob.shape for blob in self.blobs]
        fits = len(arrays) == len(shapes) and all(
            a is None or a.size == math.prod(s) for a, s in zip(arrays, shapes)
        )
        return [a if a is None else a.reshape(s) for a, s in zip(arrays, shapes)] if fits else list(arrays)

    def declare(self, shape: Shape) -> list[BlobSpec]:
        layout = self.layout
        blob = (1, shape[1], 1, 1)[: layout.axes]
        specs = [BlobSpec(blob, filler) for filler in layout.fillers]
        if layout.statistics:
            specs.append(BlobSpec(blob, learns=False))
            variance = caffe_pb2.FillerParameter(type="constant", value=layout.first_variance)
            specs.append(BlobSpec(blob, variance, learns=False))
        return specs

    def compute(
        self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, *running: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, ...] | Stateful:
        p, layout = self.param.bn_param, self.layout
        scale, shift = scale.reshape(-1), shift.reshape(-1)
        if p.bn_mode == p.INFERENCE:
            each = (-1, *[1] * (x.dim() - 2))
            return x * scale.view(each) + shift.view(each)
        if layout.frozen:
            scale, shift = scale.detach(), shift.detach()
        if running and (layout.frozen or self.phase == caffe_pb2.TEST):
            mean, variance = (r.detach().reshape(-1) for r in running)
            inverse = variance if p.inverse_std else torch.rsqrt(variance + layout.eps)
            if not layout.frozen and torch.is_grad_enabled() and x.requires_grad:
                y: torch.Tensor = _Running.apply(x, scale, shift, mean, inverse)  # type: ignore[no-untyped-call]
                return y
            if p.inverse_std:  # (and some of torch's batch_norm refuse an eps of 0)
                each = (-1, *[1] * (x.dim() - 2))
                return (x - mean.view(each)) * (scale * variance).view(each) + shift.view(each)
            return F.batch_norm(x, mean, variance, scale, shift, eps=layout.eps)
        mean, variance = x.new_zeros(2, x.shape[1]).unbind()
        if x.is_meta:  # torch's own inference divides by zero where a channel has one value
            y = torch.empty_like(x)
        else:
            y = torch.batch_norm(
                x, scale, shift, mean, variance, True, 1.0, layout.eps, torch.backends.cudnn.enabled
            )
        count = x.numel() // max(x.shape[1], 1)
        variance = (
            variance * ((count - 1) / count) if count > 1 else torch.zeros_like(variance)
        )  # torch's is unbiased
        if running and not x.is_meta:
            with torch.no_grad():
                second = torch.rsqrt(variance + layout.eps) if p.inverse_std else variance
                moved = [
                    old.lerp(new.view_as(old), 1 - layout.momentum)
                    for old, new in zip(running, (mean, second))
                ]
            return Stateful(y, moved)
        each = (1, -1, *[1] * (x.dim() - 2))
        tops = (y, mean.view(each), variance.view(each))
        return tops[: self.top_count] if self.top_count > 1 else y


class _Running(torch.autograd.Function):
    """a · (x - mean) · inverse + b, with the gradient of x that it would have were mean and inverse the batch's."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor,
        shift: torch.Tensor,
        mean: torch.Tensor,
        inverse: torch.Tensor,
    ) -> torch.Tensor:
        each = (1, -1, *[1] * (x.dim() - 2))
        normal = (x - mean.view(each)) * inverse.view(each)
        ctx.save_for_backward(normal, scale, inverse)
        return normal * scale.view(each) + shift.view(each)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        normal, scale, inverse = ctx.saved_tensors
        (grad,) = grads
        each = (1, -1, *[1] * (normal.dim() - 2))
        others = [i for i in range(normal.dim()) if i != 1]
        slope, bias = (grad * normal).sum(others), grad.sum(others)
        count = max(normal.numel() // max(normal.shape[1], 1), 1)
        pulled = grad - (normal * slope.view(each) + bias.view(each)) / count
        return pulled * (scale * inverse).view(each), slope, bias, None, None
