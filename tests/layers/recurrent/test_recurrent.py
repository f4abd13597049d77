"""LSTM and RNN against steps written out; the state between forwards; and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from harness import Array, make_layer

from caffe.blob import Blob
from caffe.errors import LayerError
from caffe.layers.recurrent._recurrent import Recurrent

STEPS, STREAMS, INPUTS, WIDTH = 5, 2, 6, 4


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm(
    x: Array, cont: Array, params: list[Array], hidden: Array, cell: Array
) -> tuple[Array, Array, Array]:
    input_weight, bias, weight = params
    found = []
    for t in range(len(x)):
        gates = x[t] @ input_weight.T + bias + (hidden * cont[t][:, None]) @ weight.T
        i, f, o, g = np.split(gates, 4, 1)
        cell = sigmoid(f) * cont[t][:, None] * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        found.append(hidden)
    return np.stack(found), hidden, cell


def rnn(x: Array, cont: Array, params: list[Array], hidden: Array) -> tuple[Array, Array]:
    input_weight, bias, weight, out_weight, out_bias = params
    found = []
    for t in range(len(x)):
        hidden = np.tanh(x[t] @ input_weight.T + bias + (hidden * cont[t][:, None]) @ weight.T)
        found.append(np.tanh(hidden @ out_weight.T + out_bias))
    return np.stack(found), hidden


def build(type: str, rng: np.random.Generator) -> tuple[Recurrent, list[Array]]:
    layer = make_layer(
        f'type: "{type}" recurrent_param {{ num_output: {WIDTH} }}',
        (STEPS, STREAMS, INPUTS),
        (STEPS, STREAMS),
    )
    assert isinstance(layer, Recurrent)
    for blob in layer.blobs:
        blob.data[...] = rng.standard_normal(blob.shape) * 0.5
    layer.needs.backward = False
    return layer, [b.data for b in layer.blobs]


def forward(layer: Recurrent, *arrays: Array) -> Array:
    bottoms, top = [Blob(*a.shape) for a in arrays], Blob()
    for blob, array in zip(bottoms, arrays):
        blob.data[...] = array
    layer.forward(bottoms, [top])
    return top.data


@pytest.mark.parametrize("type", ["LSTM", "RNN"])
def test_states_go_on_where_cont_says_so(type: str) -> None:
    rng = np.random.default_rng(0)
    layer, params = build(type, rng)
    step = lstm if type == "LSTM" else rnn
    state: tuple[Array, ...] = (np.zeros((STREAMS, WIDTH)),) * (2 if type == "LSTM" else 1)
    for _ in range(3):
        x = rng.standard_normal((STEPS, STREAMS, INPUTS))
        cont = np.ones((STEPS, STREAMS))
        cont[0, 1] = cont[3, 0] = 0
        expected, *state = step(x, cont, params, *state)  # type: ignore[assignment]
        np.testing.assert_allclose(forward(layer, x, cont), expected, atol=1e-5)
    layer.reset()
    expected, *_ = step(x, np.ones((STEPS, STREAMS)), params, *(0 * s for s in state))
    np.testing.assert_allclose(forward(layer, x, np.ones((STEPS, STREAMS))), expected, atol=1e-5)


def test_another_number_of_steps() -> None:
    rng = np.random.default_rng(0)
    layer, params = build("LSTM", rng)
    x, cont = rng.standard_normal((3, STREAMS, INPUTS)), np.zeros((3, STREAMS))
    zeros = np.zeros((STREAMS, WIDTH))
    np.testing.assert_allclose(forward(layer, x, cont), lstm(x, cont, params, zeros, zeros)[0], atol=1e-5)


def test_backward_in_test_phase_starts_from_the_same_state() -> None:
    """Backward computes forward again: from the states before it, not from those after it."""
    rng = np.random.default_rng(0)
    x, cont, dy = rng.standard_normal((STEPS, STREAMS, INPUTS)), np.ones((STEPS, STREAMS)), None
    diffs = []
    for phase in ("TRAIN", "TEST"):
        layer = make_layer(
            f'type: "LSTM" recurrent_param {{ num_output: {WIDTH} }}', x.shape, cont.shape, phase=phase
        )
        other = np.random.default_rng(1)
        for blob in layer.blobs:
            blob.data[...] = other.standard_normal(blob.shape)
        layer.needs.bottoms, layer.needs.params = [True, False], [True] * 3
        bottoms, top = [Blob(*x.shape), Blob(*cont.shape)], Blob()
        bottoms[0].data[...], bottoms[1].data[...] = x, cont
        layer.forward(bottoms, [top])
        layer.forward(bottoms, [top])
        dy = other.standard_normal(top.shape)
        top.diff[...] = dy
        layer.backward([top], [True, False], bottoms)
        diffs.append(bottoms[0].diff.copy())
    assert np.abs(diffs[0]).max() > 0
    np.testing.assert_array_equal(*diffs)


X, CONT, STATE = (STEPS, STREAMS, INPUTS), (STEPS, STREAMS), (1, STREAMS, WIDTH)


@pytest.mark.parametrize(
    "type, text, shapes, tops, message",
    [
        ("LSTM", "", (X, CONT), 1, "must be at least 1; got 0"),
        (
            "LSTM",
            "num_output: 4",
            ((STEPS,), (STEPS,)),
            1,
            "must be T×N×… with at least 1 step; got shape [5]",
        ),
        (
            "LSTM",
            "num_output: 4",
            (X, (STEPS, 3)),
            1,
            "must be 5×2, a mark for each step and stream; got shape [5, 3]",
        ),
        ("LSTM", "num_output: 4", (X, CONT, (3, 2)), 1, "the static input, must be 2×…"),
        (
            "LSTM",
            "num_output: 4",
            (X, CONT, (2, 3), STATE),
            1,
            "must have 2 bottoms, or 3 with a static input; got 4",
        ),
        ("LSTM", "num_output: 4 expose_hidden: true", (X, CONT), 3, "must have 4 bottoms, or 5"),
        ("LSTM", "num_output: 4 expose_hidden: true", (X, CONT, STATE, STATE), 1, "must have 3 tops"),
        (
            "LSTM",
            "num_output: 4 expose_hidden: true",
            (X, CONT, STATE, (2, 2, 4)),
            3,
            "a state, must be 1×2×4",
        ),
        (
            "RNN",
            "num_output: 4 expose_hidden: true",
            (X, CONT, STATE, STATE, STATE),
            2,
            "must have 3 bottoms, or 4",
        ),
        (
            "LSTMUnit",
            None,
            ((2, 3, 4), (1, 3, 16), (1, 3)),
            2,
            "the cell, must be 1×N×D; got shape [2, 3, 4]",
        ),
        ("LSTMUnit", None, ((1, 3, 4), (1, 3, 12), (1, 3)), 2, "must be 1×3×16; got shape [1, 3, 12]"),
        ("LSTMUnit", None, ((1, 3, 4), (1, 3, 16), (3, 1)), 2, "must be 1×3; got shape [3, 1]"),
    ],
)
def test_bad_bottoms(
    type: str, text: str | None, shapes: tuple[tuple[int, ...], ...], tops: int, message: str
) -> None:
    with pytest.raises(LayerError) as caught:
        field = "" if text is None else f"recurrent_param {{ {text} }}"
        make_layer(f'type: "{type}" {field}', *shapes, tops=tops)
    assert message in str(caught.value)


def test_continuation_has_no_gradient() -> None:
    layer = make_layer('type: "LSTM" recurrent_param { num_output: 4 }', X, CONT)
    layer.needs.bottoms, layer.needs.params = [True, True], [True] * 3
    bottoms, top = [Blob(*X), Blob(*CONT, name="cont")], Blob()
    layer.forward(bottoms, [top])
    with pytest.raises(LayerError, match=r"bottom 1 \('cont'\) cannot have a gradient"):
        layer.backward([top], [True, True], bottoms)
