"""DiceCoefLoss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from caffe.blob import Shape
from caffe.formats.binaryproto import read_blob
from caffe.layers.loss._loss_layer import LossLayer
from caffe.proto import caffe_pb2
from caffe.tensor_layer import Stateful

_Mode = caffe_pb2.DiceCoefLossParameter
_POWERS = {_Mode.INVERSE_VOLUME: -2.0, _Mode.EQUALIZE_CLASSES: -1.0, _Mode.EXTRA_SMALL_VOLUMES: -3.0}


class DiceCoefLoss(LossLayer):
    """One minus the overlap of a map and its target: L = 1 - 1/N · Σ_n (s + 2 Σ w·x·t) / (s + Σ w·x² + Σ
    w·t²).

    x is used as it is given (no softmax), t is 1 at the labels' classes; w is 1 and s 1/N. In MULTICLASS
    ignore_label's class counts nothing in the loss. In the weighted modes s is 0; MULTICLASS_WEIGHTED weights a
    class by w = 1 / (1 + count)², its positions counted in each image; _BATCH by their mean over the batch, _ALL by
    its mean over all forwards so far; the power is 1 with ``weight_mode: EQUALIZE_CLASSES``, 3 with
    EXTRA_SMALL_VOLUMES. ``weights`` names a BlobProto of C × C values, whose diagonal, divided by its sum, weights the
    classes further. The gradient is not divided by N.

    bottom: x (N × C × H × W); labels (N × 1 × H × W), or t itself (N × C × H × W, 1 from ½ on). top: L
    (scalar).
    Differs from Caffe: weights of contours (``contour_shape`` …) are not there.
    Source: jolibrain/caffe; Milletari et al. 2016, Sudre et al. 2017.
    """

    origin = "jolibrain/caffe"
    reads = {"dice_coef_loss_param": "* -contour_size -contour_amplitude"}
    _classes: torch.Tensor | None = None

    def check(self, x: Shape, t: Shape) -> None:
        if self.param.dice_coef_loss_param.contour_shape != _Mode.NO:
            raise self.error(
                "weights of contours are not supported: the fork computes them beyond its arrays",
                field="contour_shape",
                fix="Leave the field out",
            )
        if self._classes is None and self.param.dice_coef_loss_param.weights:
            self._classes = self._read(x[1])
        if len(x) != 4 or len(t) != 4 or (x[0], *x[2:]) != (t[0], *t[2:]) or t[1] not in (1, x[1]):
            raise self.shape_error(
                f"the bottoms must be N×C×H×W and N×1×H×W (labels) or N×C×H×W; got {list(x)} and {list(t)}"
            )

    @property
    def _counts_all(self) -> bool:
        return self.param.dice_coef_loss_param.generalization == _Mode.MULTICLASS_WEIGHTED_ALL

    def carries(self, x: Shape, t: Shape) -> list[Shape]:
        """Of MULTICLASS_WEIGHTED_ALL: the classes' mean counts, and of how many forwards."""
        return [(1, x[1]), (1,)] if self._counts_all else []

    def compute(
        self, x: torch.Tensor, target: torch.Tensor, *carried: torch.Tensor
    ) -> torch.Tensor | Stateful:
        p = self.param.dice_coef_loss_param
        n, classes = x.shape[:2]
        if target.shape[1] == classes:
            t = (target >= 0.5).to(x.dtype)
        else:
            t = (target.long() == torch.arange(classes, device=x.device)[:, None, None]).to(x.dtype)
        several = p.generalization != _Mode.NONE
        ignored = p.ignore_label if several and p.HasField("ignore_label") else None
        weight = torch.ones(1, classes, 1, 1, dtype=x.dtype, device=x.device)
        mask = weight
        state: list[torch.Tensor] = []
        if several and p.generalization != _Mode.MULTICLASS:
            counts = self._counts(t, ignored)
            if self._counts_all:
                before, forwards = carried if carried else (torch.zeros_like(counts), counts.new_zeros(1))
                counts = (before * forwards + counts) / (forwards + 1)
                state = [counts, forwards + 1]
            weight = counts.pow(_POWERS[p.weight_mode])[:, :, None, None]
        elif ignored is not None and 0 <= ignored < classes:
            mask = weight.clone()
            mask[:, ignored] = 0
        if self._classes is not None:
            weight = weight * self._classes.to(x)[:, None, None]
        loss: torch.Tensor = _Dice.apply(  # type: ignore[no-untyped-call]
            x.flatten(1),
            t.flatten(1),
            weight.expand_as(x).flatten(1),
            mask.expand_as(x).flatten(1),
            0.0 if several and p.generalization != _Mode.MULTICLASS else 1 / max(n, 1),
        )
        return Stateful(loss, state) if state else loss

    def _read(self, classes: int) -> torch.Tensor:
        source = self.param.dice_coef_loss_param.weights
        values = torch.from_numpy(np.array(read_blob(source), np.float32)).flatten()
        if values.numel() != classes**2:
            raise self.error(
                f"'{source}' must hold {classes} × {classes} values; it has {values.numel()}", field="weights"
            )
        diagonal = values.reshape(classes, classes).diagonal().clamp(min=1e-9)
        return diagonal / diagonal.sum()

    def _counts(self, t: torch.Tensor, ignored: int | None) -> torch.Tensor:
        """Of each class' positions: in each image, or the mean over the batch."""
        counts = 1 + t.sum((2, 3))
        if ignored is not None and 0 <= ignored < t.shape[1]:
            counts[:, ignored] += 1e6 * t.shape[2] * t.shape[3] - 1
        mode = self.param.dice_coef_loss_param.generalization
        if mode in (_Mode.MULTICLASS_WEIGHTED_BATCH, _Mode.MULTICLASS_WEIGHTED_ALL):
            counts = counts.mean(0, keepdim=True)
        return counts


class _Dice(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, t: torch.Tensor, weight: torch.Tensor, mask: torch.Tensor, smooth: float
    ) -> torch.Tensor:
        counted = weight * mask
        below = smooth + (counted * (x * x + t * t)).sum(1)
        ratio = (smooth + 2 * (counted * x * t).sum(1)) / below
        ctx.save_for_backward(x, t, weight, below, ratio)
        return 1 - ratio.sum() / max(x.shape[0], 1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, t, weight, below, ratio = ctx.saved_tensors
        pull = 2 * weight * (ratio[:, None] * x - t) / below[:, None]
        return grads[0] * pull, None, None, None, None
