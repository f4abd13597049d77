"""YoloV2Loss and YoloV3Loss against their definition, written as plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from harness import Case, build

from caffe.errors import CaffeError

CLASSES, ANCHORS, SIDE = 3, 2, 4
CELLS = SIDE * SIDE
V2 = (
    'type: "YoloV2Loss" yolo_v2_loss_param { num_classes: 3 num_object: 2'
    " anchors: 1 anchors: 2 anchors: 3 anchors: 1.5 "
)
V3 = (
    'type: "YoloV3Loss" yolo_v3_loss_param { num_classes: 3 num_object: 2 total_object: 3'
    " anchors: 8 anchors: 16 anchors: 20 anchors: 10 anchors: 30 anchors: 20 "
)


def sigmoid(v: Any) -> Any:
    return 1 / (1 + np.exp(-v))


def iou(a: Any, b: Any) -> float:
    w = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    return 0.0 if w < 0 or h < 0 else w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def labels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.zeros((2, 7 * CELLS))
    for image, cell in ((0, 5), (1, 2), (1, 11), (1, 12)):
        values[image, CELLS + cell], values[image, 2 * CELLS + cell] = 1, rng.integers(0, CLASSES)
        centre = (np.array([cell % SIDE, cell // SIDE]) + rng.uniform(0.1, 0.9, 2)) / SIDE
        values[image, 3 * CELLS + 4 * cell : 3 * CELLS + 4 * cell + 4] = [*centre, *rng.uniform(0.1, 0.7, 2)]
    # a second box in the same cell, annotated elsewhere: both want one prediction
    values[1, CELLS + 13], values[1, 3 * CELLS + 52 : 3 * CELLS + 56] = (
        1,
        values[1, 3 * CELLS + 48 : 3 * CELLS + 52],
    )
    return values


def truths(row: np.ndarray) -> list[Any]:
    return [row[3 * CELLS + 4 * j : 3 * CELLS + 4 * j + 4] for j in range(CELLS) if row[CELLS + j]]


def anchors_of(v3: bool) -> Any:
    if v3:
        return np.reshape([8, 16, 20, 10, 30, 20], (-1, 2)) / 32.0  # 4 cells of 8 pixels
    return np.reshape([1, 2, 3, 1.5], (-1, 2)) / SIDE


class Expected:
    def __init__(self) -> None:
        self.placed = self.free = 0.0
        self.gradient = np.zeros((2, ANCHORS, 5 + CLASSES, SIDE, SIDE))
        self.count = 0

    @property
    def loss(self) -> float:
        return self.placed / self.count + self.free / (2 * ANCHORS * CELLS - self.count)

    def box(self, d: Any, raw: Any, box: Any, cell: Any, anchor: Any, scale: float) -> None:
        aim = [box[0] * SIDE - cell[0], box[1] * SIDE - cell[1], *np.log(np.divide(box[2:], anchor))]
        now = [*sigmoid(raw[:2]), *raw[2:4]]
        for k in range(4):
            self.placed += scale * (aim[k] - now[k]) ** 2
            d[k] = scale * (now[k] - aim[k]) * (now[k] * (1 - now[k]) if k < 2 else 1)


def predicted(raw: Any, i: int, j: int, anchor: Any) -> Any:
    return [(i + sigmoid(raw[0])) / SIDE, (j + sigmoid(raw[1])) / SIDE, *(np.exp(raw[2:4]) * anchor)]


def v2(x: np.ndarray, target: np.ndarray, *, rescore: bool, early: bool, thresh: float) -> Expected:
    e, anchors = Expected(), anchors_of(False)
    for b in range(2):
        boxes = truths(target[b])
        for j in range(CELLS):
            for n in range(ANCHORS):
                raw, d = x[b, n, :, j // SIDE, j % SIDE], e.gradient[b, n, :, j // SIDE, j % SIDE]
                p = sigmoid(raw[4])
                if max(iou(predicted(raw, j % SIDE, j // SIDE, anchors[n]), t) for t in boxes) <= thresh:
                    e.free += 0.5 * p**2
                    d[4] = 0.5 * p * p * (1 - p)
                if early:
                    centre = [(j % SIDE + 0.5) / SIDE, (j // SIDE + 0.5) / SIDE, *anchors[n]]
                    e.box(d, raw, centre, (j % SIDE, j // SIDE), anchors[n], 0.01)
        for t in boxes:
            i, j = int(t[0] * SIDE), int(t[1] * SIDE)
            n = int(np.argmax([iou([0, 0, *t[2:]], [0, 0, *a]) for a in anchors]))
            raw, d = x[b, n, :, j, i], e.gradient[b, n, :, j, i]
            e.box(d, raw, t, (i, j), anchors[n], 0.5 * (2 - t[2] * t[3]))
            aim = iou(predicted(raw, i, j, anchors[n]), t) if rescore else 1
            p = sigmoid(raw[4])
            e.placed += 0.5 * (aim - p) ** 2
            d[4] = 0.5 * (p - aim) * p * (1 - p)
            share = np.exp(raw[5:]) / np.exp(raw[5:]).sum()
            share[int(target[b, 2 * CELLS + j * SIDE + i])] -= 1
            d[5:] = 0.5 * share
            e.placed += 0.5 * (share**2).sum()
            e.count += 1
    return e


def v3(x: np.ndarray, target: np.ndarray, *, mask: Any, ignore: float, beyond: float) -> Expected:
    e, anchors = Expected(), anchors_of(True)

    def answer(d: Any, raw: Any, t: Any, cell: Any, anchor: Any, label: int) -> None:
        e.box(d, raw, t, cell, anchor, 2 - t[2] * t[3])
        p, q = sigmoid(raw[4]), sigmoid(raw[5:])
        d[4] = (p - 1) * p * (1 - p)
        if d[5]:
            d[5 + label] = q[label] - 1
        else:
            d[5:] = q - np.eye(CLASSES)[label]
            e.placed += (d[5:] ** 2).sum()

    for b in range(2):
        boxes = truths(target[b])
        named = [int(target[b, 2 * CELLS + int(t[1] * SIDE) * SIDE + int(t[0] * SIDE)]) for t in boxes]
        for j in range(CELLS):
            for n in range(ANCHORS):
                raw, d = x[b, n, :, j // SIDE, j % SIDE], e.gradient[b, n, :, j // SIDE, j % SIDE]
                p = sigmoid(raw[4])
                found = [iou(predicted(raw, j % SIDE, j // SIDE, anchors[mask[n]]), t) for t in boxes]
                e.free += p**2
                d[4] = 0 if max(found) > ignore else p * p * (1 - p)
                if max(found) > beyond:
                    k = int(np.argmax(found))
                    answer(d, raw, boxes[k], (j % SIDE, j // SIDE), anchors[mask[n]], named[k])
        for t, label in zip(boxes, named):
            i, j = int(t[0] * SIDE), int(t[1] * SIDE)
            owner = int(np.argmax([iou([0, 0, *t[2:]], [0, 0, *a]) for a in anchors]))
            if owner in mask:
                n = mask.index(owner)
                raw, d = x[b, n, :, j, i], e.gradient[b, n, :, j, i]
                answer(d, raw, t, (i, j), anchors[owner], label)
                e.placed += (1 - sigmoid(raw[4])) ** 2
                e.count += 1
    return e


def compare(text: str, x: np.ndarray, target: np.ndarray, expected: Expected) -> None:
    built = build(Case("loss", text, [lambda rng: x.reshape(2, -1, SIDE, SIDE), lambda rng: target]))
    layer, bottoms, (top,) = built.layer, built.bottoms, built.tops
    layer.forward(bottoms, [top])
    assert float(top.data) == pytest.approx(expected.loss, rel=1e-5)
    top.diff[...] = 3
    layer.backward([top], [True, False], bottoms)
    found = bottoms[0].diff.reshape(expected.gradient.shape)
    np.testing.assert_allclose(found, 3 * expected.gradient / 2, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("rescore", [True, False])
@pytest.mark.parametrize("thresh", [0.7, 0.1])
def test_yolo_v2_loss(rescore: bool, thresh: float) -> None:
    x = np.random.default_rng(1).normal(0, 1, (2, ANCHORS, 5 + CLASSES, SIDE, SIDE)).astype(np.float32)
    target = labels(2)
    text = f"{V2} rescore: {str(rescore).lower()} thresh: {thresh} }}"
    expected = v2(x.astype(np.float64), target, rescore=rescore, early=True, thresh=thresh)
    assert expected.count == 5
    compare(text, x, target, expected)


def test_boxes_are_drawn_to_their_anchors_over_the_first_images_only() -> None:
    x = np.random.default_rng(1).normal(0, 1, (2, ANCHORS, 5 + CLASSES, SIDE, SIDE)).astype(np.float32)
    target = labels(2)
    built = build(Case("loss", V2 + "}", [lambda rng: x.reshape(2, -1, SIDE, SIDE), lambda rng: target]))
    losses = []
    for _ in range(2):
        built.layer.forward(built.bottoms, built.tops)
        losses.append(float(built.tops[0].data))
    early, late = (
        v2(x.astype(np.float64), target, rescore=True, early=e, thresh=0.7).loss for e in (True, False)
    )
    assert losses == pytest.approx([early, early], rel=1e-5) and early > late * 1.001
    built.layer.carried[0].fill_(12800)
    built.layer.forward(built.bottoms, built.tops)
    assert float(built.tops[0].data) == pytest.approx(late, rel=1e-5)


@pytest.mark.parametrize(("ignore", "beyond"), [(0.7, 1), (0.1, 1), (0.5, 0.05)])
def test_yolo_v3_loss(ignore: float, beyond: float) -> None:
    x = np.random.default_rng(3).normal(0, 1, (2, ANCHORS, 5 + CLASSES, SIDE, SIDE)).astype(np.float32)
    target = labels(4)
    text = f"{V3} mask: 0 mask: 2 ignore_thresh: {ignore} truth_thresh: {beyond} }}"
    expected = v3(x.astype(np.float64), target, mask=[0, 2], ignore=ignore, beyond=beyond)
    assert 0 < expected.count <= 5
    compare(text, x, target, expected)


def test_nothing_annotated_is_no_division_by_zero() -> None:
    for text in (V2 + "}", V3 + "mask: 0 mask: 2 }"):
        built = build(Case("loss", text, [(2, 16, 4, 4), lambda rng: np.zeros((2, 112))]))
        built.layer.forward(built.bottoms, built.tops)
        assert math.isfinite(float(built.tops[0].data)) and float(built.tops[0].data) > 0


@pytest.mark.parametrize(
    ("text", "shapes", "says"),
    [
        (V2 + "}", [(2, 16, 4, 5), (2, 140)], "must be square; got 4 × 5"),
        (V2 + "}", [(2, 15, 4, 4), (2, 112)], "must be N × 2·"),
        (V2 + "}", [(2, 16, 4, 4), (2, 111)], "must be 2 × 7·4·4 = 112 values"),
        (
            V2 + "anchors: 3 }",
            [(2, 16, 4, 4), (2, 112)],
            "'anchors': must be width and height of num_object = 2",
        ),
        (V2 + "side: 5 }", [(2, 16, 4, 4), (2, 112)], "'side': must be the map's 4; got 5"),
        (V3 + "mask: 0 }", [(2, 16, 4, 4), (2, 112)], "'mask': must have num_object = 2 values; got 1"),
        (V3 + "mask: 1 mask: 3 }", [(2, 16, 4, 4), (2, 112)], "'net_w': must be given"),
    ],
)
def test_what_does_not_fit_is_said(text: str, shapes: Any, says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        build(Case("loss", text, shapes))
