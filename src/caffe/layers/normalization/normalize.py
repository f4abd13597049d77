"""Normalize."""

from __future__ import annotations

from typing import Any, cast

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, TensorLayer


class Normalize(TensorLayer):
    """Divide by the length of a vector; two layers of one name, told apart by their fields.

    ``norm_param`` (or none), SSD's: y = s · x / √(Σx² + eps), where the sum runs over channels at each
    position, or over the whole image with ``across_spatial``; s is learned. With ``add_eps_before_sqrt:
    false`` (Synopsys; it counts with ``across_spatial`` only) eps is added to the root.

    ``normalize_param`` (in older files ``softmax_param.normalize_type``), happynear's: over channels,
    y = x / √(Σx² + 1e-6), or x / (Σ|x| + 1e-6) with ``normalize_type: "L1"``; nothing is learned, and a second
    top is the divisor, whose gradient counts with ``bp_norm`` only.

    bottom: x (N × C × …). top: y of x's shape; [length (N × 1 × …)].
    blobs: s, one number with ``channel_shared``, else C.
    As in the original, the gradient of x is exact only where all s are the same.
    Differs from Caffe: the gradient of an s that is 0 is right, where SSD's is NaN. ``fix_gradient`` is an
    error.
    Source: weiliu89/caffe (SSD) ``Normalize``, Liu et al. 2015 (ParseNet); happynear/caffe-windows
    ``Normalize``.
    """

    origin = "SSD (weiliu89/caffe), caffe-windows (happynear/caffe-windows)"
    reads = {
        "softmax_param": "normalize_type",
        "norm_param": "* -fix_gradient -bp_norm",
        "normalize_param": "* -fix_gradient",
    }
    num_tops = (1, 2)

    @property
    def happynear(self) -> str:
        """The field that makes it happynear's layer, if one does."""
        if self.param.HasField("normalize_param"):
            return "normalize_param"
        older = self.param.softmax_param.HasField("normalize_type")
        return "softmax_param.normalize_type" if older else ""

    @property
    def learned(self) -> bool:
        """Whether this is SSD's layer."""
        return not self.happynear and self.top_count < 2

    @property
    def kind(self) -> str:
        """By which length happynear's layer divides: L1 or L2."""
        older = self.happynear.startswith("softmax")
        return (self.param.softmax_param if older else self.param.normalize_param).normalize_type

    def check(self, shape: Shape) -> None:
        if self.happynear and self.param.HasField("norm_param"):
            raise self.error(
                f"must be the only one: norm_param is SSD's layer, {self.happynear} happynear's",
                field=self.happynear,
                fix="Remove one of the two",
            )
        if self.param.HasField("norm_param") and self.top_count == 2:
            raise self.error("with norm_param there is one top; got 2", fix="Remove the second top")
        for message, field, kind in (
            (
                self.param.normalize_param,
                "across_spatial scale_filler channel_shared add_eps_before_sqrt",
                "SSD's",
            ),
            (self.param.norm_param, "normalize_type fix_gradient bp_norm", "happynear's"),
        ):
            for name in field.split():
                if message.HasField(name):
                    raise self.error(f"is a field of {kind} layer, not of this message", field=name)
        if self.kind not in ("L1", "L2"):
            raise self.error(f'must be "L2" or "L1"; got "{self.kind}"', field="normalize_type")
        if len(shape) < 2:
            raise self.shape_error(f"the bottom must have at least 2 axes; got shape {list(shape)}")

    def declare(self, shape: Shape) -> list[BlobSpec]:
        if not self.learned:
            return []
        p = self.param.norm_param
        filler = p.scale_filler
        if not p.HasField("scale_filler"):
            filler = caffe_pb2.FillerParameter(type="constant", value=1)
        return [BlobSpec(() if p.channel_shared else (shape[1],), filler)]

    def compute(
        self, x: torch.Tensor, scale: torch.Tensor | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if scale is None:
            return self._divide(x)
        p = self.param.norm_param
        squares = (x * x).sum(tuple(range(1, x.dim())) if p.across_spatial else 1, keepdim=True)
        if p.across_spatial and not p.add_eps_before_sqrt:
            length = squares.sqrt() + p.eps
        else:
            length = torch.sqrt(squares + p.eps)
        y = _Divide.apply(  # type: ignore[no-untyped-call]
            x, length.detach(), scale.reshape(-1, *[1] * (x.dim() - 2))
        )
        return cast(torch.Tensor, y)

    def _divide(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if self.kind == "L1":
            length = x.abs().sum(1, keepdim=True) + 1e-6
        else:
            length = torch.sqrt((x * x).sum(1, keepdim=True) + 1e-6)
        y = x / length
        if self.top_count < 2:
            return y
        return y, length if self.param.normalize_param.bp_norm else length.detach()


class _Divide(torch.autograd.Function):
    """s · x / length, length being that of x, with SSD's gradient of x: s · (g - x · Σ(x · g) / length²) /
    length.

    It is the derivative where all s are the same; the derivative would have s · g in the sum.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, length: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, length, scale)
        return x / length * scale

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        x, length, scale = ctx.saved_tensors
        product = x * grad
        summed = [i for i, size in enumerate(length.shape) if size == 1 and i > 0]
        dx = scale * (grad - x * product.sum(summed, keepdim=True) / length.square()) / length
        return dx, None, (product / length).sum_to_size(scale.shape)
