"""RefineDet's MultiBoxLoss and DetectionOutput against their definition, written as plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from harness import Case, build

from caffe.errors import CaffeError

IMAGES, PRIORS, CLASSES = 2, 9, 4
VARIANCE = (0.1, 0.1, 0.2, 0.2)
FIELDS = "code_type: CENTER_SIZE objectness_score: 0.4 overlap_threshold: 0.35 neg_pos_ratio: 1.5 "


def decode(prior: Any, code: Any) -> list[float]:
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    x = VARIANCE[0] * code[0] * w + (prior[0] + prior[2]) / 2
    y = VARIANCE[1] * code[1] * h + (prior[1] + prior[3]) / 2
    w, h = math.exp(VARIANCE[2] * code[2]) * w, math.exp(VARIANCE[3] * code[3]) * h
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def encode(prior: Any, box: Any) -> list[float]:
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    return [
        (box[0] + box[2] - prior[0] - prior[2]) / 2 / w / VARIANCE[0],
        (box[1] + box[3] - prior[1] - prior[3]) / 2 / h / VARIANCE[1],
        math.log((box[2] - box[0]) / w) / VARIANCE[2],
        math.log((box[3] - box[1]) / h) / VARIANCE[3],
    ]


def overlap(a: Any, b: Any) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def match(truths: list[Any], priors: list[Any], threshold: float) -> tuple[list[int], list[float]]:
    """Each prior's box: first every box takes its best prior, then priors that overlap enough take a box."""
    table = [[overlap(t, p) for p in priors] for t in truths]
    best = [max(row[j] for row in table) for j in range(len(priors))]
    found, free = [-1] * len(priors), set(range(len(truths)))
    while free:
        value, g, j = max(
            ((table[g][j], g, j) for g in free for j in range(len(priors)) if found[j] == -1),
            key=lambda x: x[0],
        )
        if value <= 1e-6:
            break
        found[j] = g
        free.remove(g)
    for j in range(len(priors)):
        g = max(range(len(truths)), key=lambda g: table[g][j])
        if found[j] == -1 and table[g][j] >= threshold:
            found[j] = g
    return found, best


def expected(
    bottoms: list[Any], classes: int, mined_by_objectness: bool, moved: bool
) -> tuple[Any, Any, Any]:
    """The loss, and its gradients for locations and confidences."""
    loc, conf, prior, truth, objectness, first = bottoms
    loc = loc.reshape(IMAGES, PRIORS, 4)
    conf = conf.reshape(IMAGES, PRIORS, classes)
    boxes = prior[0, 0].reshape(PRIORS, 4)
    total, d_loc, d_conf, count = 0.0, np.zeros_like(loc), np.zeros_like(conf), 0
    for i in range(IMAGES):
        rows = [r for r in truth[0, 0] if r[0] == i]
        at = [decode(b, c) for b, c in zip(boxes, first[i].reshape(-1, 4))] if moved else list(boxes)
        index, best = match([r[3:7] for r in rows], at, 0.35)
        labels = [0 if g < 0 else int(min(rows[g][1], 1) if classes == 2 else rows[g][1]) for g in index]
        log = conf[i] - np.log(np.exp(conf[i]).sum(1, keepdims=True))
        losses = [-log[j, labels[j]] for j in range(PRIORS)]
        positives = [j for j in range(PRIORS) if index[j] >= 0]
        rest = [j for j in range(PRIORS) if index[j] < 0 and best[j] < 0.5]
        if mined_by_objectness:
            rest = [j for j in rest if objectness[i, 2 * j + 1] >= 0.4]
        negatives = sorted(rest, key=lambda j: -losses[j])[: int(len(positives) * 1.5)]
        count += len(positives)
        for j in [*positives, *negatives]:
            total += losses[j]
            d_conf[i, j] = np.exp(log[j]) - (np.arange(classes) == labels[j])
        for j in positives:
            d = loc[i, j] - encode(at[j], rows[index[j]][3:7])
            total += np.where(abs(d) < 1, d * d / 2, abs(d) - 0.5).sum()
            d_loc[i, j] = np.clip(d, -1, 1)
    return total / count, d_loc / count, d_conf / count


def values(seed: int, classes: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.5, (PRIORS, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.2, 0.5, (PRIORS, 2))], 1)
    prior = np.stack([boxes.ravel(), np.tile(VARIANCE, PRIORS)])[None]
    truth = np.zeros((1, 1, 4, 8))
    truth[0, 0, :, 0], truth[0, 0, :, 1] = [0, 0, 1, 1], [1, 3, 2, 1]
    truth[0, 0, :, 3:5] = rng.uniform(0, 0.4, (4, 2))
    truth[0, 0, :, 5:7] = truth[0, 0, :, 3:5] + rng.uniform(0.3, 0.5, (4, 2))
    return [
        rng.normal(0, 2, (IMAGES, 4 * PRIORS)),
        rng.normal(0, 2, (IMAGES, classes * PRIORS)),
        prior,
        truth,
        rng.dirichlet([1, 1], (IMAGES, PRIORS)).reshape(IMAGES, -1),
        rng.normal(0, 1, (IMAGES, 4 * PRIORS)),
    ]


def layer(fields: str, bottoms: list[Any]) -> Any:
    return build(Case("refine", fields, [(lambda _, v=v: v) for v in bottoms]))


def forward(built: Any) -> None:
    built.layer.forward(built.bottoms, built.tops)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bottoms", [4, 5, 6])
def test_loss_and_gradients(bottoms: int, seed: int) -> None:
    given = values(seed, CLASSES)
    built = layer(
        f'type: "MultiBoxLoss" multibox_loss_param {{ num_classes: {CLASSES} {FIELDS} }}', given[:bottoms]
    )
    value, d_loc, d_conf = expected(given, CLASSES, bottoms > 4, bottoms > 5)
    forward(built)
    np.testing.assert_allclose(built.tops[0].data, value, rtol=1e-5)
    built.tops[0].diff[...] = 1
    wanted = [i < 2 for i in range(bottoms)]
    built.layer.backward(built.tops, wanted, built.bottoms)
    np.testing.assert_allclose(built.bottoms[0].diff, d_loc.reshape(IMAGES, -1), atol=1e-5)
    np.testing.assert_allclose(built.bottoms[1].diff, d_conf.reshape(IMAGES, -1), atol=1e-5)


def test_the_first_step_knows_objects_only() -> None:
    given = values(7, 2)
    built = layer(f'type: "MultiBoxLoss" multibox_loss_param {{ num_classes: 2 {FIELDS} }}', given[:4])
    forward(built)
    np.testing.assert_allclose(built.tops[0].data, expected(given, 2, False, False)[0], rtol=1e-5)


def test_labels_out_of_range_stay_errors_elsewhere() -> None:
    fields = 'type: "MultiBoxLoss" multibox_loss_param { num_classes: 2 code_type: CENTER_SIZE }'
    with pytest.raises(CaffeError, match=r"label of image 0 .* \[0, 1\].* got 3"):
        forward(layer(fields, values(7, 2)[:4]))


@pytest.mark.parametrize(
    ("fields", "index", "shape", "message"),
    [
        ("", 4, (2, 2 * PRIORS + 1), "9 priors need N × 9·2 values of objectness"),
        ("", 5, (2, 4 * PRIORS - 4), "9 priors need N × 9·4 first-step locations"),
        ("", 5, (3, 4 * PRIORS), "as many images; got 2, 2, 2, 3"),
        (
            "share_location: false mining_type: NONE ",
            0,
            (2, 16 * PRIORS),
            "share_location.*true with first-step",
        ),
    ],
)
def test_wrong_bottoms(fields: str, index: int, shape: tuple[int, ...], message: str) -> None:
    given = values(0, CLASSES)
    given[index] = np.zeros(shape)
    with pytest.raises(CaffeError, match=message):
        layer(
            f'type: "MultiBoxLoss" multibox_loss_param {{ num_classes: {CLASSES} {FIELDS} {fields} }}', given
        )


def test_priors_that_are_no_objects_are_class_0() -> None:
    """Also where the background is another class: then class 0 has a score of 1 there."""
    given = values(3, CLASSES)
    fields = (
        f'type: "DetectionOutput" detection_output_param {{ num_classes: {CLASSES} code_type: CENTER_SIZE'
        " background_label_id: 3 objectness_score: 0.4 confidence_threshold: 0.01"
        " nms_param { nms_threshold: 1 } }"
    )
    loc, conf, prior, _, objectness, first = given
    conf = np.random.default_rng(1).dirichlet(np.ones(CLASSES), (IMAGES, PRIORS)).reshape(IMAGES, -1)
    built = layer(fields, [loc, conf, prior, objectness, first])
    forward(built)
    rows = []
    for i in range(IMAGES):
        for label in range(3):
            for j in range(PRIORS):
                score = conf[i, j * CLASSES + label]
                if objectness[i, 2 * j + 1] < 0.4:
                    score = float(label == 0)
                if score > 0.01:
                    moved = decode(prior[0, 0, 4 * j : 4 * j + 4], first[i, 4 * j : 4 * j + 4])
                    rows.append([i, label, score, *decode(moved, loc[i, 4 * j : 4 * j + 4])])
    key = lambda r: (r[0], r[1], -round(float(r[2]), 5), round(float(r[3]), 4))  # noqa: E731
    np.testing.assert_allclose(
        sorted(built.tops[0].data[0, 0].tolist(), key=key), sorted(rows, key=key), atol=1e-5
    )
