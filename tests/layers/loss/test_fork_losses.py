"""Losses of the forks: figures by hand, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from harness import Case, build, make_layer

from caffe.errors import CaffeError


def test_yolo_seg() -> None:
    built = build(
        Case("y", 'type: "YoloSeg" yolo_seg_param { object_scale: 0.5 }', [(2, 3, 4), (2, 12), (1, 3)])
    )
    x, masks = built.bottoms[0].data.astype(float), built.bottoms[1].data.reshape(2, 3, 4)
    diff = 0.5 * (1 / (1 + np.exp(-x)) - masks)
    built.layer.forward(built.bottoms, built.tops)
    np.testing.assert_allclose(built.tops[0].data, (diff**2).sum() / 2, rtol=1e-5)
    built.tops[0].diff[...] = 3
    built.layer.backward(built.tops, [True, False, False], built.bottoms)
    np.testing.assert_allclose(built.bottoms[0].diff, 3 * diff / 2, rtol=1e-5)


def test_kernel_loss() -> None:
    built = build(
        Case("k", 'type: "KernelLoss" kernel_loss_param { sigma_sq: 2 }', [(2, 3), (2, 3), (2,), (2, 1)])
    )
    built.bottoms[2].data[...] = [1.2, 3]
    built.bottoms[3].data[...] = [[1.7], [4]]
    a, b = (blob.data.astype(float) for blob in built.bottoms[:2])
    apart = 1 - np.exp(-((a - b) ** 2).sum(1) / 4)
    built.layer.forward(built.bottoms, built.tops)
    np.testing.assert_allclose(built.tops[0].data, (apart[1] - apart[0]) / 2, rtol=1e-5)


def test_weighted_cross_entropy() -> None:
    built = build(Case("s", 'type: "SigmoidCrossEntropyLoss"', [(2, 3), (2, 3), (2, 3)]))
    x, targets, weights = (blob.data for blob in built.bottoms)
    targets[...], weights[...] = [[0, 1, 0.5], [1, 0, 1]], [[0, 2, 1], [0.5, 0, 3]]
    built.layer.forward(built.bottoms, built.tops)
    each = np.log1p(np.exp(x.astype(float))) - x * targets
    np.testing.assert_allclose(built.tops[0].data, (each * weights).sum() / 6.5, rtol=1e-5)
    built.tops[0].diff[...] = 2
    built.layer.backward(built.tops, [True, False, False], built.bottoms)
    wanted = 2 * weights * (1 / (1 + np.exp(-x.astype(float))) - targets) / 6.5
    np.testing.assert_allclose(built.bottoms[0].diff, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "shapes", "says"),
    [
        ('type: "YoloSeg"', [(2, 3, 4), (2, 11)], "as many values"),
        ('type: "SigmoidCrossEntropyLoss"', [(2, 3), (2, 3), (2, 4)], "as many values"),
        ('type: "KernelLoss"', [(2, 3), (2, 3), (2,), (2,)], "sigma_sq.*above 0"),
        ('type: "KernelLoss" kernel_loss_param { sigma_sq: 1 }', [(2, 3), (2, 4), (2,), (2,)], "N × C"),
        (
            'type: "KernelLoss" kernel_loss_param { sigma_sq: 1 }',
            [(2, 3), (2, 3), (2, 2), (2,)],
            "one for each",
        ),
        (
            'type: "KernelLoss" kernel_loss_param { sigma_sq: 1 }',
            [(2, 3), (2, 3), (3,), (2,)],
            "first dimension",
        ),
    ],
)
def test_bad_input(text: str, shapes: list[tuple[int, ...]], says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        make_layer(text, *shapes)
