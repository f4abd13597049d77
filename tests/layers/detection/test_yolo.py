"""YOLO's losses and outputs, against the formulas written as plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from harness import Case, build

CLASSES, ANCHORS, HEIGHT, WIDTH = 3, 2, 4, 5
REGION = (
    'type: "RegionLoss" region_loss_param { num_class: 3 num: 2 biases: 1.2 biases: 2 biases: 3 biases: 1.1 '
)
YOLOV3 = (
    'type: "Yolov3" yolov3_param { num_class: 3 num: 2 biases: 10 biases: 20 biases: 30 biases: 10'
    " biases: 50 biases: 60 mask: 0 mask: 2 anchors_scale: 16 object_scale: 2 class_scale: 3 "
)


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def iou(a: Any, b: Any) -> float:
    w = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    if w < 0 or h < 0:
        return 0.0
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def truth(rng: np.random.Generator) -> Any:
    rows = np.zeros((2, 1, 300, 5))
    for i, count in enumerate((3, 1)):
        rows[i, 0, :count, 0] = rng.integers(0, CLASSES, count)
        rows[i, 0, :count, 1:3] = rng.uniform(0.1, 0.9, (count, 2))
        rows[i, 0, :count, 3:] = rng.uniform(0.1, 0.6, (count, 2))
    return rows


def run(text: str) -> tuple[Any, Any, float, Any]:
    built = build(Case("yolo", text, [(2, ANCHORS * 8, HEIGHT, WIDTH), truth], gradcheck=False))
    built.layer.forward(built.bottoms, built.tops)
    built.tops[0].diff[...] = 1
    built.layer.backward(built.tops, [True, False], built.bottoms)
    x = built.bottoms[0].data.reshape(2, ANCHORS, 8, HEIGHT, WIDTH)
    return x, built.bottoms[1].data[:, 0], float(built.tops[0].data), built.bottoms[0].diff.reshape(x.shape)


@pytest.mark.parametrize("rescore", [0, 1])
@pytest.mark.parametrize("match", [0, 1])
def test_region_loss(rescore: int, match: int) -> None:
    x, annotations, loss, diff = run(REGION + f"rescore: {rescore} bias_match: {match} thresh: 0.3 }}")
    anchors = [(1.2, 2.0), (3.0, 1.1)]
    d = np.zeros(x.shape)

    def box(n: int, a: int, i: int, j: int) -> list[float]:
        v, (w, h) = x[n, a, :, i, j], anchors[a]
        return [
            (j + sigmoid(v[0])) / WIDTH,
            (i + sigmoid(v[1])) / HEIGHT,
            math.exp(v[2]) * w / WIDTH,
            math.exp(v[3]) * h / HEIGHT,
        ]

    for n, a, i, j in np.ndindex(2, ANCHORS, HEIGHT, WIDTH):
        o = sigmoid(x[n, a, 4, i, j])
        near = any(iou(box(n, a, i, j), t[1:]) > 0.3 for t in annotations[n] if t[3])
        d[n, a, 4, i, j] = 0 if near else 0.5 * o * o * (1 - o)
        for k in range(2):
            s = sigmoid(x[n, a, k, i, j])
            d[n, a, k, i, j] = -0.01 * (0.5 - s) * s * (1 - s)
            d[n, a, 2 + k, i, j] = 0.01 * x[n, a, 2 + k, i, j]
    for n in range(2):
        for label, cx, cy, w, h in (t for t in annotations[n] if t[3]):
            i, j = int(cy * HEIGHT), int(cx * WIDTH)
            sizes = [
                (aw / WIDTH, ah / HEIGHT) if match else box(n, a, i, j)[2:]
                for a, (aw, ah) in enumerate(anchors)
            ]
            a = int(np.argmax([iou((0, 0, *s), (0, 0, w, h)) for s in sizes]))
            v, (aw, ah) = x[n, a, :, i, j], anchors[a]
            scale = 5 if rescore else 5 * (2 - w * h)
            for k, want in enumerate((cx * WIDTH - j, cy * HEIGHT - i)):
                s = sigmoid(v[k])
                d[n, a, k, i, j] = -scale * (want - s) * s * (1 - s)
            d[n, a, 2, i, j] = -scale * (math.log(w * WIDTH / aw) - v[2])
            d[n, a, 3, i, j] = -scale * (math.log(h * HEIGHT / ah) - v[3])
            o = sigmoid(v[4])
            goal = iou(box(n, a, i, j), (cx, cy, w, h)) if rescore else 1
            d[n, a, 4, i, j] = -(goal - o) * o * (1 - o)
            e = np.exp(v[5:] - v[5:].max())
            d[n, a, 5:, i, j] = e / e.sum() - (np.arange(CLASSES) == label)
    assert loss == pytest.approx((d**2).sum() / 2, rel=1e-5)
    np.testing.assert_allclose(diff, d / 2, atol=1e-5)


@pytest.mark.parametrize("logic", [False, True])
def test_yolov3(logic: bool) -> None:
    x, annotations, loss, diff = run(YOLOV3 + f"thresh: 0.3 use_logic_gradient: {str(logic).lower()} }}")
    anchors, mask = [(10, 20), (30, 10), (50, 60)], [0, 2]
    unit = (WIDTH * 16, HEIGHT * 16)
    d, slope = np.zeros(x.shape), np.ones(x.shape)
    for n, a, i, j in np.ndindex(2, ANCHORS, HEIGHT, WIDTH):
        v, (aw, ah) = x[n, a, :, i, j], anchors[mask[a]]
        box = [
            (j + sigmoid(v[0])) / WIDTH,
            (i + sigmoid(v[1])) / HEIGHT,
            math.exp(v[2]) * aw / unit[0],
            math.exp(v[3]) * ah / unit[1],
        ]
        near = any(iou(box, t[1:]) > 0.3 for t in annotations[n] if t[3])
        d[n, a, 4, i, j] = 0 if near else sigmoid(v[4])
        if logic:
            for k in (0, 1, 4, 5, 6, 7):
                slope[n, a, k, i, j] = sigmoid(v[k]) * (1 - sigmoid(v[k]))
    for n in range(2):
        for label, cx, cy, w, h in (t for t in annotations[n] if t[3]):
            shapes = [iou((0, 0, aw / unit[0], ah / unit[1]), (0, 0, w, h)) for aw, ah in anchors]
            best = int(np.argmax(shapes))
            if best not in mask:
                continue
            i, j, a = int(cy * HEIGHT), int(cx * WIDTH), mask.index(best)
            v, (aw, ah), scale = x[n, a, :, i, j], anchors[best], 5 * (2 - w * h)
            d[n, a, 0, i, j] = -scale * (cx * WIDTH - j - sigmoid(v[0]))
            d[n, a, 1, i, j] = -scale * (cy * HEIGHT - i - sigmoid(v[1]))
            d[n, a, 2, i, j] = -scale * (math.log(w * unit[0] / aw) - v[2])
            d[n, a, 3, i, j] = -scale * (math.log(h * unit[1] / ah) - v[3])
            d[n, a, 4, i, j] = -(2 if logic else 1) * (1 - sigmoid(v[4]))
            for c in range(CLASSES):
                d[n, a, 5 + c, i, j] = -3 * ((c == label) - sigmoid(v[5 + c]))
    assert loss == pytest.approx((d**2).sum() / 2, rel=1e-5)
    np.testing.assert_allclose(diff, d * slope / 2, atol=1e-5)


def test_outputs() -> None:
    """One strong prediction gives its box; a weaker one on it goes."""
    x = torch.full((1, ANCHORS, 8, HEIGHT, WIDTH), -9.0)
    for objectness, column in ((5.0, 3), (4.0, 3), (6.0, 0)):
        anchor = int(objectness == 4.0)
        x[0, anchor, :5, 2, column] = torch.tensor([0, 0, 0, 0, objectness])
        x[0, anchor, 6, 2, column] = 8
    text = (
        'type: "Yolov3DetectionOutput" yolov3_detection_output_param { num_classes: 3 num_box: 2'
        " biases: 16 biases: 20 biases: 17 biases: 20 mask: 0 mask: 1 mask_group_num: 1 anchors_scale: 16"
        " confidence_threshold: 0.5 }"
    )
    case = Case(
        "o", text, [lambda rng: x.reshape(1, 16, HEIGHT, WIDTH).numpy()], phase="TEST", gradcheck=False
    )
    built = build(case)
    built.layer.forward(built.bottoms, built.tops)
    rows = built.tops[0].data[0, 0]
    assert rows.shape == (2, 7)
    cx, cy = np.array([0.5, 3.5]) / WIDTH, 2.5 / HEIGHT
    np.testing.assert_allclose(rows[:, 0], 0)
    np.testing.assert_allclose(rows[:, 1], 2)
    np.testing.assert_allclose(rows[:, 2], [sigmoid(o) * sigmoid(8) for o in (6, 5)], rtol=1e-5)
    half_w, half_h = 16 / (WIDTH * 16) / 2, 20 / (HEIGHT * 16) / 2
    np.testing.assert_allclose(
        rows[:, 3:], np.stack([cx - half_w, [cy - half_h] * 2, cx + half_w, [cy + half_h] * 2], 1), atol=1e-5
    )
