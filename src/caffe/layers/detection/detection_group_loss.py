"""DetectionGroupLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from caffe import runtime
from caffe.blob import Shape
from caffe.layers.detection._cascade import read_fields, read_normalization
from caffe.layers.detection.detection_group_accuracy import check_maps
from caffe.layers.loss._loss_layer import LossLayer


class DetectionGroupLoss(LossLayer):
    """Loss of a proposal network over maps of fields (anchors): softmax over drawn cells, plus lambda times
    the smooth L1 (or squared) distance of the foreground's offsets, each a mean.

    Of each image batch_size cells are drawn, foreground (label > 0) up to 1/(1 + bg_multiple) of them,
    background (label 0, overlap below bg_threshold) for the rest: by chance, or the worst first with
    neg_mining_type "bootstrap". batch_size -1 takes all foreground and bg_multiple times as many others.
    With ``objectness`` all labels above 0 are 1. ``pos_neg_weighted`` gives both sides their share of the
    weight.

    bottom: scores (N·G × cls_num × H × W); offsets (N·G × 4 × H × W); ground truth (N·G × 6 × H × W: label,
    centre, size, overlap). top: the loss and its second part (1 × 1 × 1 × 2); the gradient is of the first.
    Differs from Caffe: other random numbers; offsets are not cut to field_xyr and field_whr in the bottom
    itself, only in the loss. Source: zhaoweicai/cascade-rcnn; Cai & Vasconcelos 2018.
    """

    num_bottoms = 3
    no_gradient = (2,)
    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"
    reads = {"loss_param": "ignore_label", "bbox_reg_param": "*", "detection_group_loss_param": "*"}

    def check(self, scores: Shape, offsets: Shape, truth: Shape) -> None:
        p = self.param.detection_group_loss_param
        self.mean, self.std = read_normalization(self)
        self.fields = read_fields(self, p)
        check_maps(self, scores, offsets, truth, p.cls_num, len(self.fields[0]))
        if p.bbox_loss_type not in ("Smooth_L1", "Euclidean_L2"):
            raise self.error(
                f"must be Smooth_L1 or Euclidean_L2; got '{p.bbox_loss_type}'", field="bbox_loss_type"
            )
        if p.neg_mining_type not in ("random", "bootstrap", "mixture"):
            raise self.error(
                f"must be random, bootstrap or mixture; got '{p.neg_mining_type}'", field="neg_mining_type"
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [(1, 1, 1, 2)]

    @property
    def draws(self) -> bool:
        return True

    def compute(self, scores: torch.Tensor, offsets: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        p = self.param.detection_group_loss_param
        label = truth[:, 0].long()
        wanted = label.clamp(max=1) if p.objectness else label
        each = F.cross_entropy(scores, wanted.clamp(0, p.cls_num - 1), reduction="none")
        kept = self._keep(label, truth[:, 5], scores.detach())
        ignored = (
            self.param.loss_param.ignore_label if self.param.loss_param.HasField("ignore_label") else None
        )
        if ignored is not None:
            kept = kept & (wanted != ignored)
        weight = kept.to(each.dtype)
        front = kept & (label > 0)
        if p.pos_neg_weighted:
            total, share = weight.sum(), 1 / (1 + p.bg_multiple)
            for part, of in ((front, share), (kept & (label <= 0), 1 - share)):
                weight = torch.where(part, of * total / part.sum().clamp(min=1), weight)
        conf = (each * weight).sum() / kept.sum().clamp(min=1)
        difference = (self._bounded(offsets) - self._encoded(truth)) * front[:, None].to(offsets.dtype)
        if p.bbox_loss_type == "Smooth_L1":
            part = F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="sum")
        else:
            part = difference.square().sum() / 2
        bbox = getattr(p, "lambda") * part / (4 * front.sum()).clamp(min=1)
        return torch.stack([conf + bbox, bbox.detach()]).reshape(1, 1, 1, 2)

    def _encoded(self, truth: torch.Tensor) -> torch.Tensor:
        """The offsets that the ground truth's centres and sizes mean, normalized."""
        widths, heights, stride = self.fields
        like: dict[str, Any] = {"dtype": truth.dtype, "device": truth.device}
        images = truth.shape[0] // len(widths)
        field = torch.tensor(np.stack([widths, heights], 1), **like).repeat(images, 1)[:, :, None, None]
        cell = [(torch.arange(n, **like) + 0.5) * stride for n in truth.shape[2:]]
        place = torch.stack(torch.meshgrid(cell[1], cell[0], indexing="xy"))
        code = torch.cat([(truth[:, 1:3] - place) / field, (truth[:, 3:5].clamp(min=2) / field).log()], 1)
        mean, std = (torch.tensor(x, **like)[:, None, None] for x in (self.mean, self.std))
        return (code - mean) / std

    def _bounded(self, offsets: torch.Tensor) -> torch.Tensor:
        p = self.param.detection_group_loss_param
        if not (p.HasField("field_xyr") and p.HasField("field_whr")):
            return offsets
        mean, std = self.mean.astype(float), self.std.astype(float)
        middle = (mean[:2].mean(), mean[2:].mean())
        spread = (np.sqrt(std[0] * std[1]), np.sqrt(std[2] * std[3]))
        limits = (1 / p.field_xyr, float(np.log(p.field_whr)))
        parts = []
        for k, x in enumerate((offsets[:, :2], offsets[:, 2:])):
            low, high = ((sign * limits[k] - middle[k]) / spread[k] for sign in (-1, 1))
            # the value is bounded, the gradient goes through
            parts.append(x + (x.detach().clamp(low, high) - x.detach()))
        return torch.cat(parts, 1)

    def _keep(self, label: torch.Tensor, overlap: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Which cells are drawn."""
        p, rng = self.param.detection_group_loss_param, runtime.rng()
        groups = len(self.fields[0])
        images = label.shape[0] // groups
        labels = label.reshape(images, -1).cpu().numpy()
        front = labels > 0
        back = (labels == 0) & (overlap.reshape(images, -1).float().cpu().numpy() < p.bg_threshold)
        worst = (1 - scores.softmax(1)[:, 0]).reshape(images, -1).float().cpu().numpy()
        kept = np.zeros_like(front)
        for n in range(images):
            chosen, others = np.flatnonzero(front[n]), np.flatnonzero(back[n])
            if p.batch_size == -1:
                most = int(len(chosen) * p.bg_multiple)
            else:
                chosen = rng.permutation(chosen)[: int(p.batch_size / (1 + p.bg_multiple) + 0.5)]
                most = p.batch_size - len(chosen)
            if len(others) > most:
                hard = {"random": 0, "bootstrap": most, "mixture": (most + 1) // 2}[p.neg_mining_type]
                others = others[np.argsort(-worst[n, others], kind="stable")]
                others = np.concatenate([others[:hard], rng.permutation(others[hard:])[: most - hard]])
            kept[n, chosen] = kept[n, others] = True
        return torch.from_numpy(kept).to(label.device).reshape(label.shape)
