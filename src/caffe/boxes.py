"""Boxes: areas, overlaps, codes relative to priors, non-maximum suppression, matching.

A box is xmin, ymin, xmax, ymax in the last axis. Coordinates are in any unit; ``offset`` 1 counts both end
pixels. Overlaps and codes are for arrays of torch (with gradients); what chooses boxes one after the other
runs in numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe.proto import caffe_pb2

Array = npt.NDArray[Any]
CORNER = caffe_pb2.PriorBoxParameter.CORNER
CENTER_SIZE = caffe_pb2.PriorBoxParameter.CENTER_SIZE
CORNER_SIZE = caffe_pb2.PriorBoxParameter.CORNER_SIZE
BLOCK = 128
"""How many candidates non-maximum suppression compares at a time."""


def edges(boxes: Array) -> Array:
    """Boxes of whole pixels, both ends inside, by their edges: right and bottom (of … × 4 or more) one further."""
    ends: Array = boxes[..., :4] + np.array([0, 0, 1, 1], boxes.dtype)
    return ends


def areas(boxes: Array, offset: float = 0.0) -> Array:
    """Areas (…) of boxes (… × 4); 0 where a box's end lies before its start."""
    width = boxes[..., 2] - boxes[..., 0]
    height = boxes[..., 3] - boxes[..., 1]
    sizes: Array = (width + offset) * (height + offset)
    sizes[(width < 0) | (height < 0)] = 0
    return sizes


def overlaps(a: Array, b: Array, offset: float = 0.0, *, of_smaller: bool = False) -> Array:
    """Intersection over union (A × B) of every pair of boxes a (A × 4) and b (B × 4).

    ``of_smaller`` divides by the smaller area in place of the union's.
    """
    left, top, right, bottom = np.ascontiguousarray(a.T)[:, :, None]
    left_b, top_b, right_b, bottom_b = np.ascontiguousarray(b.T)
    width = np.minimum(right, right_b)
    width -= np.maximum(left, left_b)
    height = np.minimum(bottom, bottom_b)
    height -= np.maximum(top, top_b)
    if offset:
        width, height = (np.where(size < 0, 0, size + offset) for size in (width, height))
    np.maximum(width, 0, out=width)
    np.maximum(height, 0, out=height)
    width *= height  # the intersection
    combine = np.minimum if of_smaller else np.add
    combine(areas(a, offset)[:, None], areas(b, offset), out=height)
    if not of_smaller:
        height -= width  # the union
    height[width <= 0] = 1
    ratio: Array = width / height
    return ratio


def center_size(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres and sizes (… × 2 each) of boxes (… × 4)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low


def encode(
    boxes: torch.Tensor, priors: torch.Tensor, variances: torch.Tensor | None, code_type: int
) -> torch.Tensor:
    """What a net should predict for ``boxes`` given ``priors`` (both … × 4), divided by ``variances`` if
    given.
    """
    centers, sizes = center_size(priors)
    if code_type == CENTER_SIZE:
        box_centers, box_sizes = center_size(boxes)
        code = torch.cat([(box_centers - centers) / sizes, torch.log(box_sizes / sizes)], -1)
    elif code_type == CORNER_SIZE:
        code = (boxes - priors) / torch.cat([sizes, sizes], -1)
    else:
        code = boxes - priors
    return code if variances is None else code / variances


def decode(
    code: torch.Tensor, priors: torch.Tensor, variances: torch.Tensor | None, code_type: int
) -> torch.Tensor:
    """The boxes (… × 4) that a predicted code means; the inverse of :func:`encode`."""
    if variances is not None:
        code = code * variances
    if code_type == CORNER:
        return priors + code
    centers, sizes = center_size(priors)
    if code_type == CORNER_SIZE:
        return priors + code * torch.cat([sizes, sizes], -1)
    box_centers = centers + code[..., :2] * sizes
    half = torch.exp(code[..., 2:]) * sizes / 2
    return torch.cat([box_centers - half, box_centers + half], -1)


def suppress(
    boxes: Array, threshold: float, eta: float = 1.0, most: int | None = None, *, of_smaller: bool = False
) -> Array:
    """Non-maximum suppression of boxes (K × 4), best first: the indices of those kept, in order.

    A box is kept when it overlaps no kept one by more than ``threshold``, which shrinks by ``eta`` after each
    kept box while above 0.5. ``most`` ends the list early; ``of_smaller`` is as in :func:`overlaps`.
    """
    if eta < 1:
        return _suppress_adaptively(boxes, threshold, eta, most, of_smaller)
    kept: Array = np.zeros(0, dtype=np.int64)
    for start in range(0, len(boxes), BLOCK):
        block = start + np.arange(min(BLOCK, len(boxes) - start))
        if len(kept):
            block = block[overlaps(boxes[kept], boxes[block], of_smaller=of_smaller).max(axis=0) <= threshold]
        alive = np.ones(len(block), dtype=bool)
        over = overlaps(boxes[block], boxes[block], of_smaller=of_smaller) > threshold
        # few boxes are over others: go through those only
        for i in np.flatnonzero(np.triu(over, 1).any(axis=1)):
            if alive[i]:
                alive[i + 1 :] &= ~over[i, i + 1 :]
        kept = np.concatenate([kept, block[alive]])
        if most is not None and len(kept) >= most:
            return kept[:most]
    return kept


def _suppress_adaptively(
    boxes: Array, threshold: float, eta: float, most: int | None, of_smaller: bool
) -> Array:
    kept: list[int] = []
    for i in range(len(boxes)):
        if kept and overlaps(boxes[kept], boxes[i : i + 1], of_smaller=of_smaller).max() > threshold:
            continue
        kept.append(i)
        if most is not None and len(kept) >= most:
            break
        if threshold > 0.5:
            threshold *= eta
    return np.array(kept, dtype=np.int64)


def by_score(scores: Array, most: int | None = None) -> Array:
    """Indices of scores (K) from high to low, ties in their order; only the ``most`` highest if given."""
    if most is not None and 0 <= most < len(scores):
        if most == 0:
            return np.zeros(0, dtype=np.int64)
        # sorting only what can be among them: everything from the most-th highest score on
        limit = np.partition(scores, len(scores) - most)[len(scores) - most]
        among = np.flatnonzero(scores >= limit)
        return among[np.argsort(-scores[among], kind="stable")][:most]
    return np.argsort(-scores, kind="stable")


def match(overlap: Array, per_prediction: bool, threshold: float) -> tuple[Array, Array]:
    """Pair ground truth with boxes, given their overlaps (G × P): (G's index or -1 (P), overlap (P)).

    First the best pair of all, then the best of those left, and so on (each ground truth once). Then, with
    ``per_prediction``, every box still free takes the ground truth that it overlaps most, from ``threshold``
    on. Overlaps up to 1e-6 count as none. The overlap of an unmatched box is its largest one.
    """
    count, boxes = overlap.shape
    truth_of = np.full(boxes, -1, dtype=np.int64)
    if count == 0:
        return truth_of, np.zeros(boxes, dtype=overlap.dtype)
    overlap = np.where(overlap > 1e-6, overlap, 0)
    largest = overlap.max(axis=0)
    best_truth = overlap.argmax(axis=0)
    best_box = overlap.argmax(axis=1)
    best = overlap[np.arange(count), best_box]
    left = overlap.copy()
    for _ in range(count):
        # of equal overlaps the first box wins, then the first ground truth
        g = min(np.flatnonzero(best == best.max()), key=lambda i: best_box[i])
        if best[g] <= 0:
            break
        box = best_box[g]
        truth_of[box] = g
        largest[box] = best[g]
        left[:, box] = 0
        best[g] = -1
        for other in np.flatnonzero((best_box == box) & (best > 0)):
            best_box[other] = left[other].argmax()
            best[other] = left[other, best_box[other]]
    if per_prediction:
        free = (truth_of == -1) & (largest >= threshold) & (largest > 0)
        truth_of[free] = best_truth[free]
    return truth_of, largest
