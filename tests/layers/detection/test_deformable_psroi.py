"""DeformablePSROIPooling against its definition, written as plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from harness import Case, build

from caffe.errors import CaffeError

G, DIM, PART, SAMPLES, SCALE, STD = 3, 4, 2, 2, 0.5, 0.3
FIELDS = (
    f"spatial_scale: {SCALE} output_dim: {DIM} group_size: {G} part_size: {PART} sample_per_part: {SAMPLES}"
    f" trans_std: {STD} "
)
ROIS = np.array([[0, 1, 2, 9, 12], [1, 0.5, 3.5, 6, 8], [1, -4, -6, 20, 3], [0, 5, 5, 4, 4.0]])


def expected(x: Any, offsets: Any) -> Any:
    top = np.zeros((len(ROIS), DIM, G, G))
    height, width = x.shape[2:]
    for r, c, i, j in np.ndindex(*top.shape):
        corner = [math.floor(v + 0.5) if v >= 0 else math.ceil(v - 0.5) for v in ROIS[r, 1:]]
        left, up = corner[0] * SCALE - 0.5, corner[1] * SCALE - 0.5
        w, h = max((corner[2] + 1) * SCALE - 0.5 - left, 0.1), max((corner[3] + 1) * SCALE - 0.5 - up, 0.1)
        if offsets is not None:
            k = c // (DIM // (offsets.shape[1] // 2))
            part = (i * PART // G, j * PART // G)
            left += offsets[(r, 2 * k, *part)] * STD * w
            up += offsets[(r, 2 * k + 1, *part)] * STD * h
        values = []
        for a, b in np.ndindex(SAMPLES, SAMPLES):
            row, col = up + i * h / G + a * h / G / SAMPLES, left + j * w / G + b * w / G / SAMPLES
            if -0.5 <= row <= height - 0.5 and -0.5 <= col <= width - 0.5:
                row, col = min(max(row, 0), height - 1), min(max(col, 0), width - 1)
                m = x[int(ROIS[r, 0]), (c * G + i) * G + j]
                values.append(
                    sum(
                        m[q, p] * (1 - abs(row - q)) * (1 - abs(col - p))
                        for q in {math.floor(row), math.ceil(row)}
                        for p in {math.floor(col), math.ceil(col)}
                    )
                )
        top[r, c, i, j] = np.mean(values) if values else 0
    return top


@pytest.mark.parametrize("classes", [0, 1, 2, 4])
def test_values(classes: int) -> None:
    rng = np.random.default_rng(classes)
    x = rng.standard_normal((2, DIM * G * G, 6, 7))
    offsets = rng.standard_normal((len(ROIS), 2 * classes, PART, PART)) if classes else None
    more = "" if classes else "no_trans: true "
    bottoms = [lambda _: x, lambda _: ROIS, *([lambda _: offsets] if classes else [])]
    built = build(
        Case(
            "dpsroi",
            f'type: "DeformablePSROIPooling" deformable_psroi_pooling_param {{ {FIELDS} {more}}}',
            bottoms,
        )
    )
    built.layer.forward(built.bottoms, built.tops)
    np.testing.assert_allclose(built.tops[0].data, expected(x, offsets), atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "shapes", "message"),
    [
        ("", [(2, 36, 6, 7), (5, 5)], "needs a bottom 2"),
        ("part_size: 2>part_size: 0", [(2, 36, 6, 7), (5, 5), (5, 2, 2, 2)], "part_size.*at least 1"),
        (
            "sample_per_part: 2>sample_per_part: 0",
            [(2, 36, 6, 7), (5, 5), (5, 2, 2, 2)],
            "sample_per_part.*at least 1",
        ),
        ("", [(2, 36, 6, 7), (5, 5), (5, 6, 2, 2)], "K divides output_dim 4; got"),
        ("", [(2, 36, 6, 7), (5, 5), (4, 2, 2, 2)], "must be 5 × 2·K × 2 × 2"),
        ("", [(2, 35, 6, 7), (5, 5), (5, 2, 2, 2)], "36 channels"),
    ],
)
def test_wrong_bottoms(fields: str, shapes: list[Any], message: str) -> None:
    given = FIELDS.replace(*fields.split(">")) if fields else FIELDS
    layer = f'type: "DeformablePSROIPooling" deformable_psroi_pooling_param {{ {given} }}'
    with pytest.raises(CaffeError, match=message):
        build(Case("dpsroi", layer, shapes))
