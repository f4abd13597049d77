"""StridedSlice and BroadcastTo against NumPy's indexing."""

from __future__ import annotations

import numpy as np
import pytest
from harness import make_layer

from caffe.blob import Blob
from caffe.errors import LayerError

SHAPE = (4, 5, 6, 7)


def forward(text: str, x: np.ndarray) -> np.ndarray:
    layer = make_layer(text, x.shape)
    bottom, top = Blob(*x.shape), Blob()
    bottom.data[...] = x
    layer.forward([bottom], [top])
    return top.data.copy()


def fields(**values: list[int] | int) -> str:
    words = []
    for name, value in values.items():
        words += [f"{name}: {v}" for v in (value if isinstance(value, list) else [value])]
    return f'type: "StridedSlice" strided_slice_param {{ {" ".join(words)} }}'


S = slice
CASES = {
    "plain": (fields(begin=[1, 0], end=[3, 4], strides=[1, 2]), (S(1, 3), S(0, 4, 2))),
    "negative": (fields(begin=[-3, -2], end=[-1, 5]), (S(-3, -1), S(-2, 5))),
    "backwards": (fields(begin=[3, 4], end=[0, 1], strides=[-2, -1]), (S(3, 0, -2), S(4, 1, -1))),
    "backwards to the first": (fields(begin=[3], end=[-5], strides=[-1]), (S(None, None, -1),)),
    "ends beyond": (fields(begin=[2], end=[100]), (S(2, None),)),
    "begin beyond is the last": (fields(begin=[9], end=[100]), (S(3, 4),)),
    "masks": (fields(begin=[2, 2], end=[3, 3], begin_mask=1, end_mask=2), (S(0, 3), S(2, None))),
    "masks backwards": (
        fields(begin=[1], end=[2], strides=[-1], begin_mask=1, end_mask=1), (S(None, None, -1),),
    ),
    "shrink": (fields(begin=[1, 2], end=[2, 9], shrink_axis_mask=2), (S(1, 2), 2)),
    "shrink from the end": (fields(begin=[-1], end=[0], shrink_axis_mask=1), (-1,)),
    "new axis": (fields(begin=[0, 1], end=[0, 3], new_axis_mask=1), (None, S(1, 3))),
    "ellipsis": (fields(begin=[1, 0, -2], end=[3, 0, 7], ellipsis_mask=2), (S(1, 3), ..., S(-2, 7))),
    "ellipsis of nothing": (
        fields(begin=[1, 0, 0, 0, 2], end=[3, 9, 9, 9, 3], ellipsis_mask=4), (S(1, 3), S(0, 9), ..., S(0, 9), S(2, 3)),
    ),
    "ellipsis, then shrink and new": (
        fields(begin=[0, 6, 0], end=[0, 9, 0], ellipsis_mask=1, shrink_axis_mask=2, new_axis_mask=4), (..., 6, None),
    ),
    "axes": (
        fields(begin=[1, -3], end=[5, -1], strides=[3, 1], axes=[-1, 1]), (S(None), S(-3, -1), S(None), S(1, 5, 3)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.replace(" ", "_"))
def test_as_numpy_takes(case: str) -> None:
    text, index = CASES[case]
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_array_equal(forward(text, x), x[index])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (fields(begin=[1], end=[1]), "takes nothing from 1 to 1 by 1"),
        (fields(begin=[3], end=[1]), "takes nothing"),
        (fields(begin=[1, 2], end=[1]), "'end': must have as many values as begin, 2; got 1"),
        (fields(begin=[1], end=[3], strides=[0]), "'strides': must not be 0"),
        (fields(begin=[0] * 5, end=[1] * 5), r"slices 5 axes; got shape \[4, 5, 6, 7\]"),
        (fields(begin=[0, 0], end=[1, 1], ellipsis_mask=3), "'ellipsis_mask': must have one bit"),
        (fields(begin=[0, 0], end=[1, 1], axes=[1, -3]), "'axes': must list an axis once"),
        (fields(begin=[0], end=[1], axes=[4]), "axis|axes"),
    ],
)
def test_what_cannot_be_taken(text: str, says: str) -> None:
    with pytest.raises(LayerError, match=says):
        make_layer(text, SHAPE)


def test_broadcast_to() -> None:
    x = np.random.default_rng(0).normal(size=(3, 1, 5)).astype(np.float32)
    text = 'type: "BroadcastTo" broadcast_to_param { shape: 2 shape: 3 shape: 4 shape: 5 }'
    np.testing.assert_array_equal(forward(text, x), np.broadcast_to(x, (2, 3, 4, 5)))
    for wrong in ("shape: 5", "shape: 3 shape: 0 shape: 5", "shape: 2 shape: 1 shape: 5"):
        with pytest.raises(LayerError, match=r"'shape': must end with the bottom's sizes \[3, 1, 5\]"):
            make_layer(f'type: "BroadcastTo" broadcast_to_param {{ {wrong} }}', (3, 1, 5))


def test_values_of_the_activations() -> None:
    x = np.array([-2.0, 0, 0.5], np.float32)
    np.testing.assert_allclose(forward('type: "Softsign"', x), x / (1 + abs(x)), rtol=1e-6)
    text = 'type: "ScaledTanH" scaled_tanh_param { alpha: 1.7159 beta: 0.6666 }'
    np.testing.assert_allclose(forward(text, x), 1.7159 * np.tanh(0.6666 * x), rtol=1e-5)
    with pytest.raises(LayerError, match="'beta': must be given"):
        make_layer('type: "ScaledTanH" scaled_tanh_param { alpha: 1 }', (2, 3))
