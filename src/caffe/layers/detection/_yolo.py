"""What the layers of YOLO share: predictions as boxes, annotated boxes, overlaps, rows of detections.

A prediction map is N × A·(5 + classes) × H × W: for each of A anchors x, y, w, h, objectness and a score a
class. Boxes are centre x, y, width, height in units of the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe import boxes
from caffe.blob import Shape
from caffe.boxes import Array
from caffe.tensor_layer import TensorLayer


def check_map(layer: TensorLayer, shape: Shape, anchors: int, classes: int) -> None:
    """Raise ShapeError where ``shape`` is no prediction map."""
    wanted = anchors * (5 + classes)
    if len(shape) != 4 or shape[1] != wanted:
        raise layer.shape_error(
            f"the predictions must be N × {anchors}·(5 + {classes}) = {wanted} × H × W; got {list(shape)}"
        )


def check_anchors(layer: TensorLayer, biases: Sequence[float], needed: int) -> None:
    """Raise LayerError where ``biases`` are not the widths and heights of at least that many anchors."""
    if len(biases) % 2 or len(biases) < 2 * needed:
        raise layer.error(
            f"must be width and height of at least {needed} anchors; got {len(biases)} values", field="biases"
        )


def box_map(
    offsets: torch.Tensor, sizes: torch.Tensor, anchors: torch.Tensor, unit: tuple[float, float]
) -> torch.Tensor:
    """Boxes (N × A × 4 × H × W) for offsets in the cell and logarithms of sizes (N × A × 2 × H × W each).

    ``anchors`` (A × 2) are in a unit of which there are ``unit`` in the image's width and height.
    """
    h, w = offsets.shape[-2:]
    x = (torch.arange(w, device=offsets.device) + offsets[:, :, 0]) / w
    y = (torch.arange(h, device=offsets.device)[:, None] + offsets[:, :, 1]) / h
    size = anchors / torch.tensor(unit, dtype=anchors.dtype, device=anchors.device)
    grown = sizes.exp() * size[:, :, None, None]
    return torch.cat([torch.stack([x, y], 2), grown], 2)


def truths(rows: torch.Tensor, images: int) -> list[Array]:
    """The annotated boxes (T × 5: label, box) of each image, up to the first of no width."""
    of_images = rows.detach().float().cpu().numpy().reshape(images, -1, 5)
    ends = [int(np.argmax(f[:, 3] == 0)) if (f[:, 3] == 0).any() else len(f) for f in of_images]
    return [f[:end] for f, end in zip(of_images, ends)]


def corners(found: Array) -> Array:
    """Boxes (… × 4) as xmin, ymin, xmax, ymax."""
    return np.concatenate([found[..., :2] - found[..., 2:] / 2, found[..., :2] + found[..., 2:] / 2], -1)


def overlaps(a: Array, b: Array) -> Array:
    """Intersection over union (A × B) of boxes by centre and size."""
    return boxes.overlaps(corners(a), corners(b))


def shape_overlaps(a: Array, b: Array) -> Array:
    """Intersection over union (A × B) of boxes of sizes a (A × 2) and b (B × 2) with one centre."""
    common = np.minimum(a[:, None], b[None]).prod(-1)
    ratios: Array = common / (a.prod(-1)[:, None] + b.prod(-1)[None] - common)
    return ratios


def last_of_each(index: Array) -> Array:
    """Where each distinct row of ``index`` (T × k) occurs last: later truths win a place that two want."""
    _, first = np.unique(index[::-1], axis=0, return_index=True)
    last: Array = np.sort(len(index) - 1 - first)
    return last


def detection_rows(found: Sequence[Array], threshold: float, device: torch.device) -> torch.Tensor:
    """Rows image, label, score, xmin, ymin, xmax, ymax (1 × 1 × K × 7), of candidates (K × 6) for each image.

    Candidates are label, score, box. Best first; those that overlap a better one by ``threshold`` are
    dropped, whatever their labels. Where nothing is found, rows image, -1 ….
    """
    limit = float(
        np.nextafter(np.float32(threshold), np.float32(-1))
    )  # an overlap of the threshold is too much
    rows = []
    for image, candidates in enumerate(found):
        ordered = candidates[boxes.by_score(candidates[:, 1])]
        at = corners(ordered[:, 2:])
        kept = boxes.suppress(at, limit)
        row = np.empty((len(kept), 7), np.float32)
        row[:, 0], row[:, 1:3], row[:, 3:] = image, ordered[kept, :2], at[kept]
        rows.append(row)
    joined = np.concatenate(rows) if rows else np.zeros((0, 7), np.float32)
    if not len(joined):
        joined = np.full((len(found), 7), -1, np.float32)
        joined[:, 0] = np.arange(len(found))
    return torch.from_numpy(joined).to(device).view(1, 1, -1, 7)
