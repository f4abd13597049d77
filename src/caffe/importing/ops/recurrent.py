"""LSTM and GRU over whole sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.importing.emitter import Emitter
from caffe.importing.ops.indexing import taken
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule

_MOST_STEPS = 256


@rule("lstm")
def lstm(
    e: Emitter,
    input: Place,
    hx: Sequence[Any],
    params: Sequence[torch.Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """Each layer and direction is an LSTM of Caffe, which wants T × N × C; with ``expose_hidden`` where states are
    given, or the last cells are read.
    """
    x = e.plain(input.reordered((1, 0, 2)) if batch_first else input)
    steps, batch = x.shape[:2]
    given = not all(_is_zero(state) for state in hx)
    exposed = given or e.is_read(2)
    cont = _continuation(e, x, begins=not given)
    ends: list[Place] = []
    cells: list[Place] = []
    for weights, hidden in _layers(params, num_layers, bidirectional, has_biases):
        tops = []
        for backward, (w_x, w_h, b_x, b_h) in enumerate(weights):
            flow = e.plain(_reversed(e, x) if backward else x)
            # PyTorch's gates are i, f, g, o; Caffe's i, f, o, g
            turn = torch.cat([torch.arange(n * hidden, (n + 1) * hidden) for n in (0, 1, 3, 2)])
            first = [_state(e, state, len(ends)) for state in hx] if exposed else []
            shapes = [(steps, batch, hidden), *[(1, batch, hidden)] * len(first)]
            top, *last = e.layers(
                "LSTM",
                [flow, cont, *first],
                shapes,
                "backward" if backward else "forward",
                blobs=[w_x[turn], (b_x + b_h)[turn], w_h[turn]],
                recurrent_param={"num_output": hidden, **({"expose_hidden": True} if exposed else {})},
            )
            cells += last[1:]
            ends.append(e.cut(top, 0, steps - 1, steps) if e.is_read(1) else top)
            tops.append(_reversed(e, top) if backward else top)
        x = e.joined(tops, 2) if len(tops) > 1 else tops[0]
    return [
        x.reordered((1, 0, 2)) if batch_first else x,
        e.joined(ends, 0, suffix="state") if e.is_read(1) else None,
        e.joined(cells, 0, suffix="cell") if e.is_read(2) else None,
    ]


def _reversed(e: Emitter, x: Place) -> Place:
    return taken(e, x, 0, torch.arange(x.shape[0] - 1, -1, -1))


def _state(e: Emitter, states: Any, index: int) -> Place:
    """One layer's and direction's first state: 1 × N × H."""
    if isinstance(states, torch.Tensor):
        return e.constant(states[index : index + 1], suffix="first")
    return e.plain(e.cut(states, 0, index, index + 1))


@rule("gru")
def gru(
    e: Emitter,
    input: Place,
    hx: Any,
    params: Sequence[torch.Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """Caffe has no GRU: the steps one after another, each of small layers."""
    x = e.plain(input.reordered((1, 0, 2)) if batch_first else input)
    steps = x.shape[0]
    if steps > _MOST_STEPS:
        raise Inexpressible(
            f"a GRU is written out step by step; {steps} steps are too many", fix="Use an LSTM"
        )
    ends: list[Place] = []
    for weights, hidden in _layers(params, num_layers, bidirectional, has_biases):
        tops = []
        for backward, (w_x, w_h, b_x, b_h) in enumerate(weights):
            first = None if _is_zero(hx) else _state(e, hx, len(ends))
            top, end = _gru_layer(e, x, w_x, w_h, b_x, b_h, hidden, bool(backward), first)
            tops.append(top)
            ends.append(end)
        x = e.joined(tops, 2) if len(tops) > 1 else tops[0]
    return [
        x.reordered((1, 0, 2)) if batch_first else x,
        e.joined(ends, 0, suffix="last") if e.is_read(1) else None,
    ]


def _gru_layer(
    e: Emitter,
    x: Place,
    w_x: torch.Tensor,
    w_h: torch.Tensor,
    b_x: torch.Tensor,
    b_h: torch.Tensor,
    hidden: int,
    backward: bool,
    first: Place | None,
) -> tuple[Place, Place]:
    """Every step's state, and the last one:
    r, z = σ(Wx + Uh); n = tanh(Wx + r · (Uh + b)); h' = n + z · (h - n)."""
    steps, batch = x.shape[:2]
    param = {"num_output": 3 * hidden, "axis": 2}
    inputs = e.layer(
        "InnerProduct",
        [x],
        suffix="inputs",
        shape=(steps, batch, 3 * hidden),
        blobs=[w_x, b_x],
        inner_product_param=param,
    )
    state = first or e.power(e.cut(e.cut(inputs, 0, 0, 1), 2, 0, hidden), scale=0, suffix="state")
    state = Place.of(e.reshaped(state, (batch, hidden)).blob, (batch, hidden))
    outputs: dict[int, Place] = {}
    every = (
        e.layers("Slice", [inputs], [(1, batch, 3 * hidden)] * steps, "steps", slice_param={"axis": 0})
        if steps > 1
        else [inputs]
    )
    for t in reversed(range(steps)) if backward else range(steps):
        step = Place.of(e.reshaped(every[t], (batch, 3 * hidden)).blob, (batch, 3 * hidden))
        gates = e.layer(
            "InnerProduct",
            [state],
            suffix="recurrent",
            shape=(batch, 3 * hidden),
            blobs=[w_h, b_h],
            inner_product_param={"num_output": 3 * hidden},
        )
        r_x, z_x, n_x = (e.cut(step, 1, i * hidden, (i + 1) * hidden) for i in range(3))
        r_h, z_h, n_h = (e.cut(gates, 1, i * hidden, (i + 1) * hidden) for i in range(3))
        r = e.each(e.eltwise("SUM", r_x, r_h, suffix="r_sum"), "Sigmoid", suffix="r")
        z = e.each(e.eltwise("SUM", z_x, z_h, suffix="z_sum"), "Sigmoid", suffix="z")
        n = e.each(
            e.eltwise("SUM", n_x, e.eltwise("PROD", r, n_h, suffix="reset"), suffix="n_sum"),
            "TanH",
            suffix="n",
        )
        change = e.eltwise("PROD", z, e.eltwise("SUM", state, n, coeff=[1, -1], suffix="away"), suffix="kept")
        state = e.eltwise("SUM", n, change, suffix="state")
        outputs[t] = Place.of(e.reshaped(state, (1, batch, hidden)).blob, (1, batch, hidden))
    every = [outputs[t] for t in range(steps)]
    last = outputs[0 if backward else steps - 1]
    return (e.joined(every, 0) if steps > 1 else every[0]), last


def _continuation(e: Emitter, x: Place, begins: bool) -> Place:
    """T × N: 0 where a sequence ``begins``, then 1; made from the input, so that it follows its shape."""
    steps, batch = x.shape[:2]
    one = e.layer("Reduction", [x], suffix="rows", shape=(steps, batch), reduction_param={"axis": 2})
    ones = e.power(one, scale=0, shift=1, suffix="go_on")
    if not begins:
        return ones
    if steps == 1:
        return e.power(ones, scale=0, suffix="begin")
    first = e.power(e.cut(ones, 0, 0, 1), scale=0, suffix="begin")
    return e.joined([first, e.cut(ones, 0, 1, steps)], 0, suffix="continuation")


def _layers(params: Sequence[torch.Tensor], layers: int, bidirectional: bool, biases: bool) -> Any:
    """For each layer its directions' weights, and its width."""
    rest = list(params)
    for _ in range(layers):
        directions = []
        for _ in range(2 if bidirectional else 1):
            w_x, w_h = rest.pop(0), rest.pop(0)
            b_x, b_h = (
                (rest.pop(0), rest.pop(0)) if biases else (torch.zeros(len(w_x)), torch.zeros(len(w_x)))
            )
            if w_h.shape[0] // w_h.shape[1] * w_h.shape[1] != w_h.shape[0]:
                raise Inexpressible("a projection of the state has no form")
            directions.append((w_x, w_h, b_x, b_h))
        yield directions, directions[0][1].shape[1]


def _is_zero(state: Any) -> bool:
    """Whether states are the zeros that a sequence begins with."""
    return isinstance(state, torch.Tensor) and not bool(state.any())
