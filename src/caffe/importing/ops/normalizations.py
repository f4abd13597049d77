"""Normalizations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from caffe.importing.emitter import Emitter
from caffe.importing.ops.reductions import reduced
from caffe.importing.ops.shapes import to_shape
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule


@rule(
    "batch_norm",
    "_native_batch_norm_legit_no_training",
    "native_batch_norm",
    "cudnn_batch_norm",
    "_batch_norm_no_update",
)
def batch_norm(
    e: Emitter,
    input: Place,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    eps: float = 1e-5,
    training: bool = False,
    **others: Any,
) -> Any:
    """A BatchNorm of learned statistics, and a Scale for what is learned."""
    if running_mean is None or running_var is None or training:
        raise Inexpressible("statistics of the batch itself are for training", fix="Call module.eval() first")
    x = e.plain(input)
    scaled = weight is not None or bias is not None
    blobs = [running_mean, running_var, torch.ones(1)]
    param = {"use_global_stats": True, "eps": eps}
    top = e.each(x, "BatchNorm", suffix="", blobs=blobs, batch_norm_param=param)
    if scaled:
        factor = torch.ones_like(running_mean) if weight is None else weight
        learned = [factor] if bias is None else [factor, bias]
        top = e.each(
            top,
            "Scale",
            suffix="scale",
            blobs=learned,
            scale_param={"bias_term": True} if bias is not None else {},
        )
    return [top, None, None]


@rule("layer_norm", "native_layer_norm")
def layer_norm(
    e: Emitter,
    input: Place,
    normalized_shape: Sequence[int],
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
    **others: Any,
) -> Any:
    """Each row of the last axes to mean 0 and variance 1, then what is learned."""
    axes = len(normalized_shape)
    x = input
    # PyTorch takes eps under the root, as one pass over a row
    if axes == 1 and x.order[-1] == 1 and len(x.held) == 4:
        x = _across_channels(e, x, eps)
    else:
        count = math.prod(normalized_shape)
        shape = x.shape
        plain = e.plain(x)
        rows = e.reshaped(plain, (*shape[: len(shape) - axes], count)) if axes > 1 else plain
        if len(rows.held) > 3:
            rows = e.reshaped(plain, (shape[0], math.prod(shape[1 : len(shape) - axes]), count))
        rows = Place.of(rows.blob, rows.held)
        x = to_shape(e, centered_rows(e, rows, eps), shape)
    return [_learned(e, x, weight, bias), None, None]


def _learned(e: Emitter, x: Place, weight: Any, bias: Any) -> Place:
    from caffe.importing.ops.arithmetic import plus, times

    if weight is not None and bias is not None and weight.dim() == 1:
        axis = x.axis(-1)
        param = {"axis": axis, "bias_term": True}
        return e.each(e.repeated(x), "Scale", blobs=[weight, bias], scale_param=param)
    x = times(e, x, weight) if weight is not None else x
    return plus(e, x, bias) if bias is not None else x


def centered_rows(e: Emitter, x: Place, eps: float, center: bool = True) -> Place:
    """Rows along the last axis to mean 0 and variance 1, eps under the root (MVN has it outside)."""
    axis, count = len(x.shape) - 1, x.shape[-1]
    if center:
        y = e.reshaped(x, (1, *x.held)) if len(x.held) < 3 else x
        if len(x.held) == 2:
            y = e.reshaped(x, (x.held[0], 1, x.held[1]))
        y = e.each(
            Place.of(y.blob, y.held), "MVN", suffix="centered", mvn_param={"normalize_variance": False}
        )
        x = Place.of(e.reshaped(y, x.held).blob, x.held) if y.held != x.held else y
    param = {"operation": "SUMSQ", "axis": axis, "coeff": 1 / count}
    squares = e.layer("Reduction", [x], suffix="variance", shape=x.shape[:-1], reduction_param=param)
    inverse = e.power(squares, power=-0.5, shift=eps, suffix="inverse")
    return x.put(e.layer("Scale", [x, inverse], suffix="normalized", scale_param={"axis": 0}).blob)


def _across_channels(e: Emitter, x: Place, eps: float) -> Place:
    """N × C × H × W, each pixel's channels to mean 0 and variance 1."""
    x = e.repeated(x)
    last = len(x.shape) - 1
    from caffe.importing.ops.arithmetic import mul, sub

    center = reduced(e, x, last, True, "MEAN", suffix="mean")
    away = sub(e, x, center)
    squares = reduced(e, e.power(away, power=2, suffix="squares"), last, True, "MEAN", suffix="variance")
    return mul(e, away, e.power(squares, power=-0.5, shift=eps, suffix="inverse"))


@rule("group_norm", "native_group_norm")
def group_norm(
    e: Emitter,
    input: Place,
    num_groups: int = 0,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
    group: int = 0,
    **others: Any,
) -> Any:
    """The channels of each group to mean 0 and variance 1, then what is learned."""
    groups = num_groups or group
    x = e.plain(input)
    rows = (x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    normal = centered_rows(e, Place.of(e.reshaped(x, rows).blob, rows), eps)
    top = Place.of(e.reshaped(normal, x.shape).blob, x.shape)
    return [_by_channel(e, top, weight, bias), None, None]


def _by_channel(e: Emitter, x: Place, weight: Any, bias: Any) -> Place:
    if weight is None:
        return x
    learned = [weight] if bias is None else [weight, bias]
    return e.each(x, "Scale", blobs=learned, scale_param={"bias_term": True} if bias is not None else {})


@rule("instance_norm")
def instance_norm(
    e: Emitter,
    input: Place,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    running_mean: Any = None,
    running_var: Any = None,
    use_input_stats: bool = True,
    eps: float = 1e-5,
    **others: Any,
) -> Place:
    """Each channel of each image to mean 0 and variance 1, then what is learned."""
    if not use_input_stats:
        normalized: Place = batch_norm(e, input, weight, bias, running_mean, running_var, eps)[0]
        return normalized
    result: Place = group_norm(e, input, input.shape[1], weight, bias, eps)[0]
    return result


@rule("rms_norm")
def rms_norm(
    e: Emitter, input: Place, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Place:
    """Each row over the root of its mean square."""
    if len(normalized_shape) != 1:
        raise Inexpressible("only over the last axis there is a form")
    x = e.plain(input)
    normal = centered_rows(e, x, eps if eps is not None else torch.finfo(torch.float32).eps, center=False)
    if weight is None:
        return normal
    from caffe.importing.ops.arithmetic import times

    return times(e, replace(normal), weight)


@rule("local_response_norm")
def local_response_norm(e: Emitter, input: Place, size: int, alpha: float, beta: float, k: float) -> Place:
    """Across channels, as Caffe's."""
    param = {"local_size": size, "alpha": alpha, "beta": beta, "k": k}
    return e.each(e.plain(input), "LRN", lrn_param=param)
