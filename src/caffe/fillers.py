"""Fillers: the first values of parameters, by the original's formulas.

fan_in is count / shape[0] and fan_out count / shape[1], as in the original (so fan_out of a vector is its length).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.errors import LayerError, close_names
from caffe.proto import caffe_pb2

Array = npt.NDArray[Any]
FillerParameter = caffe_pb2.FillerParameter


def fill(array: Array, param: FillerParameter, rng: np.random.Generator) -> None:
    """Fill ``array`` in place as the filler says.

    Raises LayerError for an unknown type, or parameters or a shape that the filler cannot take.
    """
    filler = FILLERS.get(param.type)
    if filler is None:
        raise LayerError(
            f"The filler type must be one of {', '.join(FILLERS)}; got '{param.type}'",
            field="type",
            fix=close_names(param.type, FILLERS) or None,
        )
    if param.sparse != -1 and param.type != "gaussian":
        raise LayerError(f"Only the gaussian filler knows sparse; got type '{param.type}'", field="sparse")
    if array.size == 0:
        raise LayerError(f"A parameter must have at least one value; got shape {list(array.shape)}")
    filler(array, param, rng)


_deferring: ContextVar[bool] = ContextVar("deferring", default=False)


@contextmanager
def deferred() -> Iterator[None]:
    """Let parameters that are made in here be filled when first read: never, where weights are loaded."""
    token = _deferring.set(True)
    try:
        yield
    finally:
        _deferring.reset(token)


def can_wait(param: FillerParameter) -> bool:
    """Whether a parameter may be filled when it is first read: in :func:`deferred`, or without random numbers."""
    return param.sparse == -1 and (param.type == "constant" or (_deferring.get() and param.type in FILLERS))


def _constant(array: Array, param: FillerParameter, rng: np.random.Generator) -> None:
    array[...] = param.value


def _uniform(array: Array, param: FillerParameter, rng: np.random.Generator) -> None:
    if param.max < param.min:
        raise LayerError(f"must be at least min = {param.min:g}; got {param.max:g}", field="max")
    _uniform_between(array, param.min, param.max, rng)


def _uniform_between(array: Array, low: float, high: float, rng: np.random.Generator) -> None:
    array[...] = rng.random(array.shape, dtype=np.float32) * np.float32(high - low) + np.float32(low)


def _normal(array: Array, mean: float, std: float, rng: np.random.Generator) -> None:
    array[...] = rng.standard_normal(array.shape, dtype=np.float32) * np.float32(std) + np.float32(mean)


def _gaussian(array: Array, param: FillerParameter, rng: np.random.Generator) -> None:
    if param.std < 0:
        raise LayerError(f"must be at least 0; got {param.std:g}", field="std")
    _normal(array, param.mean, param.std, rng)
    if param.sparse >= 0:
        # ``sparse`` non-zero inputs for each output on average
        if array.ndim < 1 or array.shape[0] == 0:
            raise LayerError(f"sparse needs a parameter with outputs on axis 0; got {list(array.shape)}")
        keep = param.sparse / array.shape[0]
        array *= rng.random(array.shape) < keep


def _positive_unitball(array: Array, param: FillerParameter, rng: np.random.Generator) -> None:
    _uniform_between(array, 0, 1, rng)
    if array.ndim:
        rows = array.reshape(array.shape[0], -1)
        rows /= rows.sum(axis=1, keepdims=True)


def _fan(array: Array, param: FillerParameter) -> float:
    fan_in = array.size / array.shape[0] if array.ndim else 1.0
    fan_out = array.size / array.shape[1] if array.ndim > 1 else float(array.size)
    if param.variance_norm == FillerParameter.FAN_OUT:
        return fan_out
    if param.variance_norm == FillerParameter.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_in


def _xavier(array: Array, param: FillerParameter, rng: np.random.Generator) -> None:
    bound = math.sqrt(3 / _fan(array, param))  # Glorot & Bengio 2010
    _uniform_between(array, -bound, bound, rng)


def _msra(array: Array, param: FillerParameter, rng: np.random.Generator) -> None:
    _normal(array, 0, math.sqrt(2 / _fan(array, param)), rng)  # He et al. 2015


def _bilinear(array: Array, param: FillerParameter, rng: np.random.Generator) -> None:
    if array.ndim != 4 or array.shape[2] != array.shape[3]:
        raise LayerError(
            f"The bilinear filler needs a parameter of 4 axes with a square kernel; got shape {list(array.shape)}"
        )
    size = array.shape[3]
    f = math.ceil(size / 2)
    c = (size - 1) / (2 * f)
    ramp = 1 - np.abs(np.arange(size) / f - c)
    array[...] = np.outer(ramp, ramp)


FILLERS: dict[str, Callable[[Array, FillerParameter, np.random.Generator], None]] = {
    "constant": _constant,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "uniform": _uniform,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
