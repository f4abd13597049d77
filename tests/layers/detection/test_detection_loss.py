"""DetectionLoss against its definition, cell by cell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from harness import Case, build, make_layer

from caffe.errors import CaffeError

SIDE, CLASSES, BOXES = 3, 4, 2
TEXT = 'type: "DetectionLoss" detection_loss_param { side: 3 num_class: 4 num_object: 2 object_scale: 2 class_scale: 3 '


def annotations(rng: np.random.Generator, images: int = 2) -> Any:
    rows = np.zeros((images, 7 * SIDE**2))
    rows[:, SIDE**2 : 2 * SIDE**2] = rng.random((images, SIDE**2)) < 0.5
    rows[:, 2 * SIDE**2 : 3 * SIDE**2] = rng.integers(0, CLASSES, (images, SIDE**2))
    rows[:, 3 * SIDE**2 :] = rng.uniform(0.1, 0.9, (images, 4 * SIDE**2))
    return rows


def overlap(a: list[float], b: list[float]) -> float:
    w, h = (
        min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2)
        for i in (0, 1)
    )
    return 0.0 if w < 0 or h < 0 else w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def expected(x: Any, truth: Any, root: bool, cell_wise: bool) -> tuple[float, Any]:
    cells = SIDE**2
    gradient = np.zeros_like(x)
    sums, count = np.zeros(4), 0
    for n, j in np.ndindex(len(x), cells):
        at = {k: CLASSES * cells + k * cells + j for k in range(BOXES)}
        object_here = bool(truth[n, cells + j])
        best = -1
        if object_here:
            count += 1
            for c in range(CLASSES):
                off = x[n, c * cells + j] - (c == int(truth[n, 2 * cells + j]))
                sums[0] += 3 * off**2
                gradient[n, c * cells + j] = 3 * off
            wanted = list(truth[n, 3 * cells + 4 * j : 3 * cells + 4 * j + 4])
            found = []
            for k in range(BOXES):
                box = [x[n, (CLASSES + BOXES + 4 * k + o) * cells + j] for o in range(4)]
                if cell_wise:
                    box[:2] = (j % SIDE + box[0]) / SIDE, (j // SIDE + box[1]) / SIDE
                if root:
                    box[2:] = box[2] ** 2, box[3] ** 2
                found.append((overlap(box, wanted), -math.dist(box, wanted), -k))
            best = -max(found)[2]
            share = found[best][0]
            if cell_wise:
                wanted[:2] = wanted[0] * SIDE - j % SIDE, wanted[1] * SIDE - j // SIDE
            if root:
                wanted[2:] = wanted[2] ** 0.5, wanted[3] ** 0.5
            for o in range(4):
                place = (CLASSES + BOXES + 4 * best + o) * cells + j
                sums[1] += 5 * (x[n, place] - wanted[o]) ** 2
                gradient[n, place] = 5 * (x[n, place] - wanted[o])
            sums[2] += 2 * (x[n, at[best]] - 1) ** 2
            gradient[n, at[best]] = 2 * (x[n, at[best]] - share)
        for k in set(range(BOXES)) - {best}:
            sums[3] += 0.5 * x[n, at[k]] ** 2
            gradient[n, at[k]] = 0.5 * x[n, at[k]]
    return sums[:3].sum() / max(count, 1) + sums[3] / (len(x) * cells * BOXES - count), gradient / len(x)


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("cell_wise", [True, False])
def test_loss_and_gradient(root: bool, cell_wise: bool) -> None:
    text = f"{TEXT} sqrt: {str(root).lower()} constriant: {str(cell_wise).lower()} }}"
    size = (CLASSES + 5 * BOXES) * SIDE**2
    built = build(Case("d", text, [lambda rng: rng.random((2, size)), annotations]))
    built.layer.forward(built.bottoms, built.tops)
    loss, gradient = expected(*(b.data.astype(float) for b in built.bottoms), root, cell_wise)
    np.testing.assert_allclose(built.tops[0].data, loss, rtol=1e-5)
    built.tops[0].diff[...] = 2
    built.layer.backward(built.tops, [True, False], built.bottoms)
    np.testing.assert_allclose(built.bottoms[0].diff, 2 * gradient, rtol=1e-4, atol=1e-6)


def test_without_objects_only_confidences_count() -> None:
    built = build(Case("d", TEXT + "}", [(2, 126), (2, 63)]))
    built.bottoms[1].data[...] = 0
    built.layer.forward(built.bottoms, built.tops)
    np.testing.assert_allclose(
        built.tops[0].data, 0.5 * (built.bottoms[0].data[:, 36:54] ** 2).mean(), rtol=1e-5
    )


def test_bad_input() -> None:
    with pytest.raises(CaffeError, match=r"predictions must have 14 values a cell, as shape \[2, 126\]"):
        make_layer(TEXT + "}", (2, 125), (2, 63))
    with pytest.raises(CaffeError, match=r"annotations must have 7 values a cell"):
        make_layer(TEXT + "}", (2, 126), (2, 62))
    with pytest.raises(CaffeError, match=r"num_class.*at least 1; got 0"):
        make_layer('type: "DetectionLoss" detection_loss_param { num_class: 0 }', (2, 126), (2, 63))
    built = build(Case("d", TEXT + "}", [(2, 126), annotations]))
    built.bottoms[1].data[1, 9 + 5], built.bottoms[1].data[1, 18 + 5] = 1, 4
    with pytest.raises(CaffeError, match="from 0 to 3; got 4 in cell 5 of image 1"):
        built.layer.forward(built.bottoms, built.tops)
