"""Which predictions of an SSD answer for which annotated box, and which are negative examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffe import boxes
from caffe.boxes import Array
from caffe.proto import caffe_pb2

Param = caffe_pb2.MultiBoxLossParameter
IGNORED = -2


@dataclass
class Truth:
    """The annotated boxes (G × 4) and labels (G) of one image."""

    boxes: Array
    labels: Array


@dataclass
class Matches:
    """Of one image and one class of locations: each prior's annotated box (P; -1 none, -2 ignored), and
    overlap.
    """

    image: int
    location: int  # index of the class that has locations of its own, 0 where all share them
    truth: Array
    overlap: Array


def truths(rows: Array, images: int, use_difficult: bool) -> list[Truth]:
    """The annotated boxes of each image, from rows image, label, instance, 4 coordinates, difficult."""
    rows = rows[rows[:, 0] != -1]
    if not use_difficult:
        rows = rows[rows[:, 7] == 0]
    number = rows[:, 0].astype(np.int64)
    return [Truth(r[:, 3:7], r[:, 1].astype(np.int64)) for r in (rows[number == i] for i in range(images))]


def find_matches(p: Param, found: Sequence[Truth], priors: Array, decoded: Array | None) -> list[Matches]:
    """Match every image that has annotated boxes: with its priors (N × P × 4), or the ``decoded`` predictions
    (N × P × classes × 4).
    """
    matches = []
    for i, truth in enumerate(found):
        if not len(truth.labels):
            continue
        if decoded is None:
            index, overlap = _match(p, truth.boxes, priors[i])
            if p.share_location:
                matches.append(Matches(i, 0, index, overlap))
                continue
            labels = np.where(index >= 0, truth.labels[index.clip(0)], -1)
            for c in _location_classes(p):
                matches.append(Matches(i, c, np.where(labels == c, index, -1), overlap))
        elif p.share_location:
            matches.append(Matches(i, 0, *_match(p, truth.boxes, decoded[i, :, 0])))
        else:
            for c in _location_classes(p):
                of_class = np.flatnonzero(truth.labels == c)
                index, overlap = _match(p, truth.boxes[of_class], decoded[i, :, c])
                if len(of_class):
                    index = np.where(index >= 0, of_class[index.clip(0)], index)
                matches.append(Matches(i, c, index, overlap))
    return matches


def _location_classes(p: Param) -> list[int]:
    return [c for c in range(p.num_classes) if c != p.background_label_id]


def _match(p: Param, truth: Array, candidates: Array) -> tuple[Array, Array]:
    overlap = boxes.overlaps(truth, candidates)
    crossing = None
    if p.ignore_cross_boundary_bbox:
        crossing = (candidates < 0).any(1) | (candidates > 1).any(1)
        overlap[:, crossing] = 0
    index, largest = boxes.match(overlap, p.match_type == p.PER_PREDICTION, p.overlap_threshold)
    if crossing is not None and len(truth):
        index[crossing] = IGNORED
    return index, largest


def mine(p: Param, match: Matches, loss: Array, candidates: Array, mined: Array) -> Array:
    """Indices of the negative examples of an image, given the priors' losses (P), the boxes to compare (P
    × 4), and which of them may be chosen (P).

    With HARD_EXAMPLE the matches that were not selected are taken out of ``match``.
    """
    hard = p.mining_type == p.HARD_EXAMPLE
    if hard:
        eligible = np.flatnonzero(mined)
        count = min(p.sample_size, len(eligible))
    else:
        eligible = np.flatnonzero((match.truth == -1) & (match.overlap < p.neg_overlap) & mined)
        # the product in single precision, as in the original
        positives = np.float32((match.truth >= 0).sum())
        count = min(int(positives * np.float32(p.neg_pos_ratio)), len(eligible))
    if p.HasField("nms_param") and p.nms_param.nms_threshold > 0:
        top_k = p.nms_param.top_k if p.nms_param.top_k >= 0 else None
        order = eligible[boxes.by_score(loss[eligible], top_k)]
        order = order[boxes.areas(candidates[order]) >= 1e-5]
        selected = order[boxes.suppress(candidates[order], p.nms_param.nms_threshold, most=top_k)][:count]
    else:
        selected = eligible[boxes.by_score(loss[eligible], count)]
    chosen = np.zeros(len(loss), dtype=bool)
    chosen[selected] = True
    negative = np.flatnonzero((match.truth == -1) & chosen)
    if hard:
        match.truth[(match.truth >= 0) & ~chosen] = -1
    return negative
