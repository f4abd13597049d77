"""CenterLoss."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.blob import Shape
from caffe.layers.loss._labels import class_labels
from caffe.layers.loss._loss_layer import LossLayer
from caffe.tensor_layer import BlobSpec


class CenterLoss(LossLayer):
    """Pulls features to a learned centre of their class: L = Σ |x_i - c_label(i)|² / (2 N).

    A centre's gradient is Σ (c - x) over its samples, divided by 1 + their number: no derivative, and
    neither the loss weight nor N scale it. Where ``distance_type`` is given the layer is caffe-windows': a
    centre's gradient counts once for each of its samples, and with "L1" L = Σ |x - c| / N in absolute values,
    and sign(x - c) takes the place of x - c in both gradients. Unlike other losses it
    has no loss weight by itself: without ``loss_weight`` it is inert.

    bottom: x (N × …, the axes from ``axis`` on one vector of K values); labels (N). top: L (scalar).
    blobs: the centres (num_output × K).
    Differs from Caffe: nothing known, but a net of caffe-windows must give ``distance_type`` to be told from
    the others. Source: ydwen/caffe-face, happynear/caffe-windows; Wen et al. 2016.
    """

    is_loss = False
    origin = "center loss (ydwen/caffe-face)"
    reads = {"center_loss_param": "*"}

    def check(self, x: Shape, labels: Shape) -> None:
        p = self.param.center_loss_param
        if p.num_output < 1:
            raise self.error(f"must be at least 1; got {p.num_output}", field="num_output")
        if p.distance_type not in ("L1", "L2"):
            raise self.error(f'must be "L1" or "L2"; got "{p.distance_type}"', field="distance_type")
        axis = self.axis(p.axis, x)
        if math.prod(x[:axis]) != math.prod(labels):
            raise self.shape_error(
                f"there must be a label for each vector; got features of shape {list(x)} from axis"
                f" {axis} on and"
                f" labels of shape {list(labels)}"
            )

    def declare(self, x: Shape, labels: Shape) -> list[BlobSpec]:
        p = self.param.center_loss_param
        return [BlobSpec((p.num_output, math.prod(x[self.axis(p.axis, x) :])), p.center_filler)]

    def compute(self, x: torch.Tensor, labels: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
        p = self.param.center_loss_param
        x = x.flatten(self.axis(p.axis, tuple(x.shape))).flatten(0, -2)
        index, _ = class_labels(self, labels, centers.detach().t().expand(x.shape[0], -1, -1)[:, 0], 1)
        absolute, repeated = p.distance_type == "L1", p.HasField("distance_type")
        loss: torch.Tensor = _Centers.apply(x, index.reshape(-1), centers, absolute, repeated)  # type: ignore[no-untyped-call]
        return loss


class _Centers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        label: torch.Tensor,
        centers: torch.Tensor,
        absolute: bool,
        repeated: bool,
    ) -> torch.Tensor:
        difference = x - centers[label]
        ctx.save_for_backward(difference.sign() if absolute else difference, label, centers)
        ctx.repeated = repeated
        total = difference.abs().sum() if absolute else difference.square().sum() / 2
        return total / x.shape[0]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        pull, label, centers = ctx.saved_tensors
        grad = torch.zeros_like(centers).index_add_(0, label, -pull)
        count = torch.bincount(label, minlength=centers.shape[0]).to(grad.dtype)
        share = (count if ctx.repeated else 1) / (1 + count)
        # an inert loss must leave the centres alone
        to_centers = grad * share[:, None] * (grads[0] != 0)
        return pull * (grads[0] / pull.shape[0]), None, to_centers, None, None
