"""ConvLSTM against its definition, written as plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import Case, build

from caffe.errors import CaffeError

T, N, C, D, H, W = 3, 2, 3, 2, 4, 5
FIELDS = 'type: "ConvLSTM" lstm_conv_param { num_output: 2 kernel_size: 3 pad: 1 } '


def convolve(x: Any, kernels: Any, pad: int, dilation: int = 1) -> Any:
    """x: N × C × H × W, kernels: O × C × K × K."""
    y = np.zeros((x.shape[0], kernels.shape[0], *x.shape[2:]))
    for n, o, i, j in np.ndindex(*y.shape):
        for c, a, b in np.ndindex(*kernels.shape[1:]):
            row, col = i - pad + a * dilation, j - pad + b * dilation
            if 0 <= row < x.shape[2] and 0 <= col < x.shape[3]:
                y[n, o, i, j] += x[n, c, row, col] * kernels[o, c, a, b]
    return y


def sigmoid(v: Any) -> Any:
    return 1 / (1 + np.exp(-v))


def expected(x: Any, cont: Any, static: Any, blobs: list[Any], h: Any, c: Any) -> tuple[Any, Any]:
    """The states after each step."""
    blobs = list(blobs)
    w_x = blobs.pop(0)
    fixed = convolve(static[0], blobs.pop(0), 1) if static is not None else 0
    w_h, bias, *peepholes = blobs
    hs, cs = [], []
    for t in range(T):
        mark = cont[t][:, None, None, None]
        z = convolve(x[t], w_x, 1) + fixed + convolve(h * mark, w_h, 1) + bias[:, None, None]
        i, f, o, g = np.split(z, 4, 1)
        if peepholes:
            i, f, o = (v + p * c for v, p in zip((i, f, o), peepholes))
        c = mark * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        hs.append(h)
        cs.append(c)
    return np.stack(hs), np.stack(cs)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("peepholes", [True, False])
def test_values(static: bool, peepholes: bool) -> None:
    rng = np.random.default_rng(5)
    x, cont = rng.standard_normal((T, N, C, H, W)), np.array([[1, 0], [0, 1], [1, 1.0]])
    fixed = rng.standard_normal((1, N, 1, H, W))
    h, c = rng.standard_normal((2, 1, N, D, H, W))
    bottoms = [x, cont, *([fixed] if static else []), h, c]
    text = (
        FIELDS + 'recurrent_param { expose_hidden: true } lstm_debug_param { expose: "c_t=1" expose: "h_t=2" '
    )
    text += "}" if peepholes else "disable_hadamard: true }"
    built = build(Case("convlstm", text, [(lambda _, v=v: v) for v in bottoms], tops=5))
    blobs = [b.data.astype(float) for b in built.layer.blobs]
    shapes = [(8, C, 3, 3), *([(8, 1, 3, 3)] if static else []), (8, D, 3, 3), (8,)]
    assert [b.shape for b in blobs] == [*shapes, *([(H, W)] * 3 if peepholes else [])]
    built.layer.forward(built.bottoms, built.tops)
    hs, cs = expected(x, cont, fixed if static else None, blobs, h[0], c[0])
    for top, wanted in zip(built.tops, (hs, cs[:1], hs[1:2], hs[2:], cs[2:])):
        np.testing.assert_allclose(top.data, wanted, atol=1e-5)


def test_the_states_go_on() -> None:
    rng = np.random.default_rng(6)
    x, cont = rng.standard_normal((T, N, C, H, W)), np.ones((T, N))
    built = build(Case("convlstm_on", FIELDS, [lambda _: x, lambda _: cont]))
    blobs = [b.data.astype(float) for b in built.layer.blobs]
    zero = np.zeros((N, D, H, W))
    hs, cs = expected(x, cont, None, blobs, zero, zero)
    for h, c in ((zero, zero), (hs[-1], cs[-1])):
        built.layer.forward(built.bottoms, built.tops)
        np.testing.assert_allclose(built.tops[0].data, expected(x, cont, None, blobs, h, c)[0], atol=1e-5)


MAPS = (T, N, C, H, W)


@pytest.mark.parametrize(
    ("fields", "shapes", "message"),
    [
        ('type: "ConvLSTM"', [MAPS, (T, N)], "lstm_conv_param.*once or twice; got 0"),
        (
            FIELDS + "lstm_conv_param { num_output: 2 kernel_size: 3 }",
            [MAPS, (T, N)],
            '"input" and "hidden"; got all',
        ),
        (FIELDS.replace("pad: 1", ""), [MAPS, (T, N)], "keep the maps' size 4×5; got 2×3"),
        (FIELDS.replace("kernel_size: 3", ""), [MAPS, (T, N)], "kernel_size.*must be given"),
        (FIELDS.replace("pad: 1", "pad: 1 group: 4"), [MAPS, (T, N)], "group.*must divide 3 and 8 channels"),
        (FIELDS + 'lstm_debug_param { expose: "c_t=4" }', [MAPS, (T, N)], "must have 2 tops"),
        (FIELDS, [MAPS[1:], (T, N)], "must be T×N×C×H×W"),
        (FIELDS, [MAPS, (N, T)], "a mark for each step"),
        (FIELDS, [MAPS, (T, N), (N, 1, H, W)], "the static input, must be 1×2×S×4×5"),
        (
            FIELDS,
            [MAPS, (T, N), (1, N, 1, H, W), (1, N, D, H, W)],
            "2 bottoms, or 3 with a static input; got 4",
        ),
    ],
)
def test_wrong_layers(fields: str, shapes: list[Any], message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        build(Case("convlstm_wrong", fields, shapes))


def test_a_state_that_is_not_there() -> None:
    text = FIELDS + 'lstm_debug_param { expose: "c_t=4" }'
    with pytest.raises(CaffeError, match="must be c_t=K or h_t=K with K from 1 to 3; got c_t=4"):
        build(Case("convlstm_wrong", text, [MAPS, (T, N)], tops=2))
