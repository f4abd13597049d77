"""Anchors of region proposal nets: boxes of x1, y1, x2, y2 in pixels, both ends inside."""

from __future__ import annotations

import numpy as np
import torch

from caffe.boxes import CENTER_SIZE, Array, decode, edges, encode


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


def clip(boxes: Array, height: float, width: float) -> Array:
    """Boxes cut at the borders of an image."""
    most = np.array([width - 1, height - 1, width - 1, height - 1], np.float32)
    return np.clip(boxes, 0, most).astype(np.float32)


def offsets_of(boxes: Array, targets: Array) -> Array:
    """Offsets (dx, dy, dw, dh) that take boxes to targets."""
    wanted, given = (torch.from_numpy(edges(b)) for b in (targets, boxes))
    return encode(wanted, given, None, CENTER_SIZE).numpy().astype(np.float32)


def moved(boxes: Array, offsets: Array) -> Array:
    """Boxes moved by offsets; right and bottom are centre + size/2, as in py-faster-rcnn (no -1)."""
    decoded = decode(torch.from_numpy(offsets), torch.from_numpy(edges(boxes)), None, CENTER_SIZE)
    return decoded.numpy().astype(np.float32)
