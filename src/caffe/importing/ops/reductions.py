"""Sums, means, extremes over axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from caffe.importing.emitter import Emitter
from caffe.importing.graph import Shape
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule


@rule("mean")
def mean(e: Emitter, input: Place, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Place:
    """The mean over axes."""
    return reduced(e, input, dim, keepdim, "MEAN")


@rule("sum")
def total(e: Emitter, input: Place, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Place:
    """The sum over axes."""
    return reduced(e, input, dim, keepdim, "SUM")


@rule("amax")
def amax(e: Emitter, input: Place, dim: Any = None, keepdim: bool = False) -> Place:
    """The largest value over axes."""
    return reduced(e, input, dim, keepdim, "MAX")


@rule("amin")
def amin(e: Emitter, input: Place, dim: Any = None, keepdim: bool = False) -> Place:
    """The smallest value over axes."""
    return e.power(reduced(e, e.power(input, scale=-1, suffix="negative"), dim, keepdim, "MAX"), scale=-1)


@rule("max")
def max_dim(e: Emitter, input: Place, dim: Any = None, keepdim: bool = False, other: Any = None) -> Any:
    """The largest value along an axis, or of two values. (Where it was is not given.)"""
    if other is not None:
        from caffe.importing.ops.arithmetic import maximum

        return maximum(e, input, other)
    largest = reduced(e, input, dim, keepdim, "MAX")
    return largest if dim is None else [largest, None]


@rule("min")
def min_dim(e: Emitter, input: Place, dim: Any = None, keepdim: bool = False, other: Any = None) -> Any:
    """The smallest value along an axis, or of two values."""
    if other is not None:
        from caffe.importing.ops.arithmetic import minimum

        return minimum(e, input, other)
    smallest = amin(e, input, dim, keepdim)
    return smallest if dim is None else [smallest, None]


@rule("linalg_vector_norm", "norm")
def vector_norm(
    e: Emitter,
    input: Place,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
    p: Any = None,
) -> Place:
    """√Σx², or Σ|x|."""
    ord = ord if p is None else p
    if ord == 2:
        squares = e.power(input, power=2, suffix="squares")
        return e.power(reduced(e, squares, dim, keepdim, "SUM", suffix="sum"), power=0.5)
    if ord == 1:
        return reduced(e, e.each(input, "AbsVal", suffix="absolute"), dim, keepdim, "SUM")
    raise Inexpressible(f"the norm of order {ord} has no form")


@rule("var")
def variance(e: Emitter, input: Place, dim: Any = None, *others: Any, **options: Any) -> Place:
    """The mean square of the distance from the mean, over n - correction."""
    return _variance_and_mean(e, input, dim, *others, **options)[0]


@rule("std")
def deviation(e: Emitter, input: Place, dim: Any = None, *others: Any, **options: Any) -> Place:
    """The root of the variance."""
    return e.power(_variance_and_mean(e, input, dim, *others, **options)[0], power=0.5)


@rule("var_mean")
def variance_and_mean(
    e: Emitter, input: Place, dim: Any = None, *others: Any, **options: Any
) -> tuple[Place, Place]:
    """Both, in this order."""
    return _variance_and_mean(e, input, dim, *others, **options)


@rule("std_mean")
def deviation_and_mean(
    e: Emitter, input: Place, dim: Any = None, *others: Any, **options: Any
) -> tuple[Place, Place]:
    """Both, in this order."""
    variance, mean = _variance_and_mean(e, input, dim, *others, **options)
    return e.power(variance, power=0.5), mean


def _variance_and_mean(
    e: Emitter,
    x: Place,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Place, Place]:
    """By PyTorch's two signatures: ``unbiased`` in place of the axes where there are none, or ``correction``."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    axes = _axes(dim, len(x.shape))
    count = math.prod(x.shape[i] for i in axes)
    less = float(unbiased) if correction is None else correction
    from caffe.importing.ops.arithmetic import sub

    mean = reduced(e, x, dim, True, "MEAN", suffix="mean")
    squares = e.power(sub(e, x, mean), power=2, suffix="squares")
    variance = reduced(e, squares, dim, keepdim, "MEAN", suffix="variance")
    scaled = e.power(variance, scale=count / (count - less))
    return scaled, mean if keepdim else _without(e, mean, axes, False)


@rule("argmax")
def argmax(e: Emitter, input: Place, dim: int | None = None, keepdim: bool = False) -> Place:
    """Where the largest value along an axis is, as a number."""
    if dim is None:
        raise Inexpressible("only the place along one axis has a form")
    x = e.repeated(input)
    axis = dim % len(x.shape)
    held = tuple(1 if i == x.order[axis] else n for i, n in enumerate(x.held))
    top = e.layer("ArgMax", [x], shape=held, argmax_param={"axis": x.order[axis]})
    return _without(e, replace(x, blob=top.blob, held=held, shape=_ones(x.shape, [axis])), [axis], keepdim)


def reduced(e: Emitter, x: Place, dim: Any, keepdim: bool, how: str, suffix: str = "") -> Place:
    """SUM, MEAN or MAX over axes, by the layer that suits the blob."""
    axes = _axes(dim, len(x.shape))
    x = e.repeated(e.padded(x))
    axes = [i for i in axes if x.shape[i] != 1] or axes[:0]
    wanted = _axes(dim, len(x.shape))
    if axes:
        held_axes = sorted(x.order[i] for i in axes)
        top = _over(e, x, held_axes, how, suffix)
        held = tuple(1 if i in held_axes else n for i, n in enumerate(x.held))
        x = replace(x, blob=top.blob, held=held, shape=_ones(x.shape, axes))
    return _without(e, x, wanted, keepdim)


def _over(e: Emitter, x: Place, axes: Sequence[int], how: str, suffix: str) -> Place:
    """Axes of the blob; the top keeps them as axes of 1."""
    blob = Place.of(x.blob, x.held)
    held = tuple(1 if i in axes else n for i, n in enumerate(x.held))
    count = math.prod(x.held[i] for i in axes)
    if len(x.held) == 4 and list(axes) == [2, 3] and how != "SUM":
        return _pooled(e, blob, held, how, suffix)
    trailing = list(range(axes[0], len(x.held)))
    if how != "MAX" and axes[0] > 0 and all(i in axes or x.held[i] == 1 for i in trailing):
        param = {"operation": how, "axis": axes[0]}
        top = e.layer(
            "Reduction", [blob], suffix=suffix or "reduction", shape=held[: axes[0]], reduction_param=param
        )
        return e.reshaped(top, held)
    if any(x.held[i] != 1 for i in range(axes[0], axes[-1] + 1) if i not in axes):
        first = _over(e, x, axes[-1:], how, suffix or "part")
        return _over(e, replace(x, blob=first.blob, held=first.shape), axes[:-1], how, suffix)
    if axes[0] == 0:
        raise Inexpressible("a reduction over the batch has no form")
    if len(x.held) == 4 and list(axes) == [1] and how != "MAX":
        weights = torch.full((1, count, 1, 1), 1.0 if how == "SUM" else 1.0 / count)
        param = {"num_output": 1, "kernel_size": [1], "bias_term": False}
        place: Place = e.layer(
            "Convolution", [blob], suffix=suffix, shape=held, blobs=[weights], convolution_param=param
        )
        return place
    # one axis of a map of one channel
    inner = math.prod(x.held[axes[-1] + 1 :])
    outer = math.prod(x.held[: axes[0]])
    image = e.reshaped(blob, (outer, 1, count, inner))
    param = {
        "pool": "MAX" if how == "MAX" else "AVE",
        "kernel_h": count,
        "kernel_w": 1,
        "stride_h": 1,
        "stride_w": 1,
    }
    top = e.layer(
        "Pooling", [image], suffix=suffix or "over", shape=(outer, 1, 1, inner), pooling_param=param
    )
    back = e.reshaped(top, held)
    return e.power(back, scale=count, suffix="sum") if how == "SUM" else back


def _pooled(e: Emitter, blob: Place, held: Shape, how: str, suffix: str) -> Place:
    param = {"pool": "AVE" if how == "MEAN" else "MAX", "global_pooling": True}
    place: Place = e.layer("Pooling", [blob], suffix=suffix, shape=held, pooling_param=param)
    return place


def _without(e: Emitter, x: Place, axes: Sequence[int], keepdim: bool) -> Place:
    if keepdim:
        return x
    from caffe.importing.ops.shapes import to_shape

    return to_shape(e, x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def _axes(dim: Any, axes: int) -> list[int]:
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return list(range(axes))
    given = [dim] if isinstance(dim, int) else list(dim)
    return sorted(d % axes for d in given)


def _ones(shape: Shape, axes: Sequence[int]) -> Shape:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))
