"""Operators of ONNX that torch has no operation for: run in torch here, one node in an exported file."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from caffe.export.parts import boxes
from caffe.export.parts.regions import RoiPool


class _LocalResponseNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
        return F.local_response_norm(x, size, alpha, beta, k)

    @staticmethod
    def symbolic(g: Any, x: Any, size: int, alpha: float, beta: float, k: float) -> Any:
        return g.op("LRN", x, size_i=size, alpha_f=alpha, beta_f=beta, bias_f=k).setType(x.type())


def local_response_norm(x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
    """LRN across channels."""
    y: torch.Tensor = _LocalResponseNorm.apply(x, size, alpha, beta, k)  # type: ignore[no-untyped-call]
    return y


class _NonMaxSuppression(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, boxes_: torch.Tensor, scores: torch.Tensor, threshold: float, most: int
    ) -> torch.Tensor:
        kept = boxes.suppress(boxes_, scores[:, 0] > 0, threshold)
        found = kept.nonzero()
        return torch.stack([found[:, 0], torch.zeros_like(found[:, 0]), found[:, 1]], 1)

    @staticmethod
    def symbolic(g: Any, boxes_: Any, scores: Any, threshold: float, most: int) -> Any:
        most_ = g.op("Constant", value_t=torch.tensor([most], dtype=torch.int64))
        threshold_ = g.op("Constant", value_t=torch.tensor([threshold], dtype=torch.float32))
        least = g.op("Constant", value_t=torch.tensor([0.0], dtype=torch.float32))
        selected = g.op("NonMaxSuppression", boxes_, scores, most_, threshold_, least)
        return (
            selected.setType(selected.type().with_sizes([None, 3]))
            if hasattr(selected.type(), "with_sizes")
            else selected
        )


def suppress(boxes_: torch.Tensor, valid: torch.Tensor, threshold: float) -> torch.Tensor:
    """What ``parts.boxes.suppress`` does, by ONNX's NonMaxSuppression: boxes (B × K × 4) come best first."""
    count = boxes_.shape[1]
    falling = torch.arange(count, 0, -1, device=boxes_.device, dtype=torch.float32)
    scores = (falling * valid.to(torch.float32)).unsqueeze(1)
    selected = _NonMaxSuppression.apply(boxes_, scores, threshold, 2**31 - 1)  # type: ignore[no-untyped-call]
    kept = torch.zeros_like(valid, dtype=torch.float32)
    ones = torch.ones_like(selected[:, 0], dtype=torch.float32)
    return kept.index_put((selected[:, 0], selected[:, 2]), ones) > 0


class _MaxRoiPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rois: torch.Tensor, size: Any, scale: float) -> torch.Tensor:
        pool: torch.nn.Module = RoiPool(*size, scale)  # type: ignore[no-untyped-call, call-arg]
        found: torch.Tensor = pool(x, rois)
        return found

    @staticmethod
    def symbolic(g: Any, x: Any, rois: Any, size: Any, scale: float) -> Any:
        return g.op("MaxRoiPool", x, rois, pooled_shape_i=list(size), spatial_scale_f=scale)


def max_roi_pool(x: torch.Tensor, rois: torch.Tensor, height: int, width: int, scale: float) -> torch.Tensor:
    """ROIPooling."""
    y: torch.Tensor = _MaxRoiPool.apply(x, rois, (height, width), scale)  # type: ignore[no-untyped-call]
    return y


def best(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``count`` highest scores of the last axis and their places; of equal ones the first, as ONNX's TopK."""
    top = torch.topk(scores, count, -1)
    return top.values, top.indices
