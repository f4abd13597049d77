"""Layers in fixed point: their numbers by hand, step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from harness import Case, build, make_layer

from caffe.errors import LayerError

FORMATS = "qcodeconfig { il: 1 fl: 7 } qcodeconfig { il: 2 fl: 6 } qcodeconfig { il: 3 fl: 5 }"


def fixed(x: np.ndarray, il: int, fl: int) -> np.ndarray:
    steps = np.floor(x * 2**fl)
    steps += (x * 2**fl - steps) > 0.5
    return np.clip(steps, -(2 ** (il + fl - 1)), 2 ** (il + fl - 1) - 1) / 2**fl


def test_the_convolution_of_rounded_values() -> None:
    case = Case(
        "c",
        f'type: "ConvolutionFloat" convolution_param {{ num_output: 4 kernel_size: 1 }} {FORMATS}',
        [(2, 3, 5, 6)],
    )
    built = build(case)
    built.layer.blobs[0].data[0, 0] = 3  # above the format
    built.layer.forward(built.bottoms, built.tops)
    x, w = (
        fixed(built.bottoms[0].data.astype(float), 2, 6),
        fixed(built.layer.blobs[0].data.astype(float), 1, 7),
    )
    assert w[0, 0, 0, 0] == 127 / 128
    b = fixed(built.layer.blobs[1].data.astype(float), 3, 13)
    sums = np.clip(np.einsum("ncij,oc->noij", x, w[:, :, 0, 0]), -4, 4)
    y = fixed(sums + b[:, None, None], 3, 5)
    np.testing.assert_array_equal(built.tops[0].data, y)
    rng = np.random.default_rng(0)
    dy = built.tops[0].diff[...] = rng.standard_normal(y.shape).astype(np.float32)
    built.layer.backward(built.tops, [True], built.bottoms)
    np.testing.assert_allclose(
        built.bottoms[0].diff, np.einsum("noij,oc->ncij", dy, w[:, :, 0, 0]), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        built.layer.blobs[0].diff[:, :, 0, 0], np.einsum("noij,ncij->oc", dy, x), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(built.layer.blobs[1].diff, dy.sum((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_the_inner_product_of_rounded_values() -> None:
    built = build(
        Case("i", f'type: "InnerProductFloat" inner_product_param {{ num_output: 4 }} {FORMATS}', [(2, 3, 5)])
    )
    built.layer.forward(built.bottoms, built.tops)
    x, w = (
        fixed(built.bottoms[0].data.astype(float), 2, 6),
        fixed(built.layer.blobs[0].data.astype(float), 1, 7),
    )
    sums = np.clip(x.reshape(2, 15) @ w.T, -4, 4)
    y = fixed(sums + fixed(built.layer.blobs[1].data.astype(float), 3, 13), 3, 5)
    np.testing.assert_array_equal(built.tops[0].data, y)


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_pooling_in_whole_numbers(scale: float) -> None:
    text = 'type: "PoolingFloat" pooling_param { pool: AVE kernel_size: 3 stride: 2 } qcodeconfig { il: 4 fl: 4 }'
    built = build(Case("p", text, [(2, 3, 7, 5)]))
    built.bottoms[0].data[...] = fixed(built.bottoms[0].data.astype(float) * scale, 12, 4)
    built.layer.forward(built.bottoms, built.tops)
    x = built.bottoms[0].data.astype(float)
    share = 14 / 128  # 128 / 9 = 14.2
    for place in np.ndindex(2, 3, 3, 2):
        n, c, i, j = place
        whole = max(-128, min(128, math.trunc(x[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].sum())))
        value = max(-8.0, min(8.0, whole * share)) * 16
        assert built.tops[0].data[place] == math.copysign(math.floor(abs(value) + 0.5), value) / 16
    built.tops[0].diff[...] = 1
    built.layer.backward(built.tops, [True], built.bottoms)
    assert built.bottoms[0].diff[0, 0, 0, 0] == pytest.approx(share)
    assert built.bottoms[0].diff[0, 0, 2, 2] == pytest.approx(4 * share)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            'type: "InnerProductFloat" inner_product_param { num_output: 4 } qcodeconfig { il: 1 fl: -1 }',
            "fl of at",
        ),
        (
            'type: "InnerProductFloat" inner_product_param { num_output: 4 } qcodeconfig { il: -3 fl: 5 }',
            "together",
        ),
        ('type: "PoolingFloat" pooling_param { pool: AVE kernel_size: 2 }', "given once"),
        (
            'type: "PoolingFloat" pooling_param { pool: AVE kernel_size: 2 } qcodeconfig { il: 4 fl: 5 }',
            "8 bits",
        ),
        ('type: "PoolingFloat" pooling_param { kernel_size: 2 } qcodeconfig { il: 4 fl: 4 }', "AVE"),
    ],
)
def test_bad_formats(text: str, says: str) -> None:
    with pytest.raises(LayerError, match=says):
        make_layer(text, (2, 3, 5, 6))
