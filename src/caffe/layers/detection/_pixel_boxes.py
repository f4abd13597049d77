"""Boxes as numpy arrays of x1, y1, x2, y2 in pixels, both ends inside: anchors, coding, overlap, suppression.

For layers that choose boxes by their values, which is work for the host.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Index = npt.NDArray[Any]


def anchors_of(base: float, ratios: list[float], scales: list[float]) -> Array:
    """Anchors around the cell at the origin: for each ratio (height/width) each scale (Ren et al. 2015).

    Widths and heights of a ratio are whole numbers before they are scaled.
    """
    centre = (base - 1) / 2
    boxes = []
    for ratio in ratios:
        width = _half_up(np.sqrt(base * base / ratio))
        height = _half_up(width * ratio)
        for scale in scales:
            half_w, half_h = (width * scale - 1) / 2, (height * scale - 1) / 2
            boxes.append([centre - half_w, centre - half_h, centre + half_w, centre + half_h])
    return np.array(boxes, np.float32).reshape(-1, 4)


def _half_up(x: float) -> float:
    return float(np.floor(x + 0.5))


def grid_of(anchors: Array, height: int, width: int, stride: float) -> Array:
    """Anchors moved to every cell of a map: rows × columns × anchors, 4 values each."""
    y, x = np.meshgrid(np.arange(height) * stride, np.arange(width) * stride, indexing="ij")
    shift = np.stack([x, y, x, y], -1)[:, :, None]
    return (shift + anchors).astype(np.float32)


def encode(boxes: Array, targets: Array) -> Array:
    """Offsets (dx, dy, dw, dh) that take boxes to targets."""
    w, h = boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1
    tw, th = targets[:, 2] - targets[:, 0] + 1, targets[:, 3] - targets[:, 1] + 1
    dx = (targets[:, 0] + tw / 2 - boxes[:, 0] - w / 2) / w
    dy = (targets[:, 1] + th / 2 - boxes[:, 1] - h / 2) / h
    return np.stack([dx, dy, np.log(tw / w), np.log(th / h)], 1).astype(np.float32)


def decode(boxes: Array, deltas: Array) -> Array:
    """Boxes moved by offsets; right and bottom are centre + size/2, as in py-faster-rcnn (no -1)."""
    w, h = boxes[..., 2] - boxes[..., 0] + 1, boxes[..., 3] - boxes[..., 1] + 1
    x = deltas[..., 0] * w + boxes[..., 0] + w / 2
    y = deltas[..., 1] * h + boxes[..., 1] + h / 2
    half_w, half_h = np.exp(deltas[..., 2]) * w / 2, np.exp(deltas[..., 3]) * h / 2
    return np.stack([x - half_w, y - half_h, x + half_w, y + half_h], -1).astype(np.float32)


def clip(boxes: Array, height: float, width: float) -> Array:
    """Boxes cut at the borders of an image."""
    most = np.array([width - 1, height - 1, width - 1, height - 1], np.float32)
    return np.clip(boxes, 0, most).astype(np.float32)


def overlaps(a: Array, b: Array, mode: str = "IOU") -> Array:
    """Intersection over union ("IOU") or over the smaller area ("IOMU") of every pair: len(a) × len(b)."""
    area_a = (a[:, 2] - a[:, 0] + 1) * (a[:, 3] - a[:, 1] + 1)
    area_b = (b[:, 2] - b[:, 0] + 1) * (b[:, 3] - b[:, 1] + 1)
    w = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0]) + 1
    h = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1]) + 1
    shared = np.maximum(w, 0) * np.maximum(h, 0)
    if mode == "IOMU":
        return np.asarray(shared / np.minimum(area_a[:, None], area_b[None]), np.float32)
    return np.asarray(shared / (area_a[:, None] + area_b[None] - shared), np.float32)


def suppress(boxes: Array, threshold: float, most: int | None = None, mode: str = "IOU") -> Index:
    """Non-maximum suppression in the order given: the kept rows, at most ``most``.

    A box stays while its overlap with every kept one is at most ``threshold``. ``mode`` "IOMU" takes the smaller
    area in place of the union.
    """
    kept: list[int] = []
    left = np.arange(len(boxes))
    while left.size and (most is None or len(kept) < most):
        first, left = left[0], left[1:]
        kept.append(int(first))
        left = left[overlaps(boxes[first : first + 1], boxes[left], mode)[0] <= threshold]
    return np.array(kept, np.int64)


def by_score(scores: Array) -> Index:
    """Indices of scores from high to low, ties in their order."""
    return np.argsort(-scores, kind="stable")
