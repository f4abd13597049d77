"""What torch's exporter lacks or writes so that engines read it differently, in operators that all read alike.

Pooling with ``ceil_mode`` gets padding that makes every window whole: engines disagree on which windows there are
otherwise. It is laid down for the sizes of the trace; sizes that stay free keep ``ceil_mode``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch.onnx import symbolic_helper as helper

_sizes_are_free = False


def register(opset: int, free_sizes: bool = False) -> None:
    """Tell torch's exporter. With ``free_sizes`` images of other sizes than the trace's are to come."""
    global _sizes_are_free
    _sizes_are_free = free_sizes
    for name, call in _SYMBOLICS.items():
        torch.onnx.register_custom_op_symbolic(f"aten::{name}", _bare(call), opset)  # type: ignore[attr-defined]


def _bare(call: Any) -> Any:
    """The function without annotations, which torch 2.4 wants to be of its own classes."""

    def bare(g, *arguments):  # type: ignore[no-untyped-def]
        return call(g, *arguments)

    return bare


def _of_the_exporter(name: str) -> Any:
    """A module of torch's exporter, where torch 2.4 to 2.8 have it or where it is since."""
    try:
        return import_module(f"torch.onnx._internal.torchscript_exporter.{name}")
    except ImportError:
        return import_module(f"torch.onnx.{name}")


def _constant(g: Any, value: Any, dtype: Any = np.float32) -> Any:
    return g.op("Constant", value_t=torch.from_numpy(np.asarray(value, dtype)))


def _sizes(x: Any) -> list[int] | None:
    """A traced value's shape, where all of it is known."""
    sizes = x.type().sizes()
    return None if sizes is None or any(n is None for n in sizes) else list(sizes)


def _trunc(g: Any, x: Any) -> Any:
    return g.op("Mul", g.op("Sign", x), g.op("Floor", g.op("Abs", x)))


def _expm1(g: Any, x: Any) -> Any:
    return g.op("Sub", g.op("Exp", x), _constant(g, 1.0))


def _sort(g: Any, x: Any, *rest: Any) -> Any:
    """By TopK, which takes the first of equal values, as a stable sort does."""
    axis = helper._get_const(rest[-2], "i", "dim")
    falling = helper._get_const(rest[-1], "b", "descending")
    whole = g.op("Shape", x)
    count = g.op("Gather", whole, _constant(g, [axis], np.int64), axis_i=0)
    return g.op("TopK", x, count, axis_i=axis, largest_i=int(falling), sorted_i=1, outputs=2)


def _argsort(g: Any, x: Any, *rest: Any) -> Any:
    return _sort(g, x, *rest)[1]


def _smooth_l1_loss(g: Any, x: Any, target: Any, reduction: Any, beta: Any) -> Any:
    edge = helper._get_const(beta, "f", "beta")
    gap = g.op("Abs", g.op("Sub", x, target))
    inner = g.op("Mul", g.op("Mul", gap, gap), _constant(g, 0.5 / edge))
    outer = g.op("Sub", gap, _constant(g, 0.5 * edge))
    each = g.op("Where", g.op("Less", gap, _constant(g, edge)), inner, outer)
    kind = helper._get_const(reduction, "i", "reduction")
    return each if kind == 0 else g.op(("ReduceMean", "ReduceSum")[kind - 1], each, keepdims_i=0)


def _unfold(g: Any, x: Any, dimension: Any, size: Any, step: Any) -> Any:
    """Windows along an axis, gathered; they become the last axis."""
    sizes = _sizes(x)
    axis, size, step = (helper._get_const(v, "i", "unfold") for v in (dimension, size, step))
    if sizes is None:
        return helper._unimplemented("unfold", "input size not known")
    axis %= len(sizes)
    starts = np.arange(0, sizes[axis] - size + 1, step)
    windows = g.op("Gather", x, _constant(g, starts[:, None] + np.arange(size), np.int64), axis_i=axis)
    order = [i for i in range(len(sizes) + 1) if i != axis + 1] + [axis + 1]
    windows = g.op("Transpose", windows, perm_i=order)
    sizes[axis] = len(starts)
    return windows.setType(x.type().with_sizes([*sizes, size]))


def _pad(g: Any, x: Any, pad: Any, mode: Any, value: Any) -> Any:
    """torch's own, whose result has a shape where that is known: what follows may need it."""
    padded = _of_the_exporter("symbolic_opset11").pad(g, x, pad, mode, value)
    sizes = _sizes(x)
    amounts = (
        [helper._maybe_get_const(v, "i") for v in helper._unpack_list(pad)]
        if helper._is_packed_list(pad)
        else helper._maybe_get_const(pad, "is")
    )
    if sizes is None or not isinstance(amounts, list) or not all(isinstance(n, int) for n in amounts):
        return padded
    for i in range(len(amounts) // 2):
        sizes[-1 - i] += amounts[2 * i] + amounts[2 * i + 1]
    return padded.setType(x.type().with_sizes(sizes))


def _batch_norm(
    g: Any, x: Any, weight: Any, bias: Any, mean: Any, var: Any, training: Any, *rest: Any
) -> Any:
    axes_count, eps = helper._get_tensor_rank(x), helper._get_const(rest[1], "f", "eps")
    if not helper._get_const(training, "b", "training"):
        channels = _sizes(mean) or [1]
        weight = _constant(g, np.ones(channels)) if helper._is_none(weight) else weight
        bias = _constant(g, np.zeros(channels)) if helper._is_none(bias) else bias
        return g.op("BatchNormalization", x, weight, bias, mean, var, epsilon_f=eps)
    if axes_count is None:
        return helper._unimplemented("batch_norm", "number of axes not known")
    axes = [0, *range(2, axes_count)]
    gap = g.op("Sub", x, _mean(g, x, axes))
    variance = _mean(g, g.op("Mul", gap, gap), axes)
    y = g.op("Div", gap, g.op("Sqrt", g.op("Add", variance, _constant(g, eps))))
    shape = _constant(g, [-1, *[1] * (axes_count - 2)], np.int64)
    for kind, value in (("Mul", weight), ("Add", bias)):
        if not helper._is_none(value):
            y = g.op(kind, y, g.op("Reshape", value, shape))
    return y


def _mean(g: Any, x: Any, axes: Sequence[int]) -> Any:
    if _of_the_exporter("_globals").GLOBALS.export_onnx_opset_version < 18:
        return g.op("ReduceMean", x, axes_i=axes, keepdims_i=1)
    return g.op("ReduceMean", x, _constant(g, axes, np.int64), keepdims_i=1)


class _Windows:
    """A pooling's windows over the last axes of a traced value."""

    def __init__(
        self, x: Any, axes: int, kernel: Any, stride: Any, pad: Any, dilation: Any, ceil: Any
    ) -> None:
        def each(value: Any) -> list[int]:
            numbers = list(helper._get_const(value, "is", "window")) if value is not None else [1]
            return numbers * axes if len(numbers) == 1 else numbers

        self.kernel, self.dilation, self.pad = each(kernel), each(dilation), each(pad)
        self.stride = each(stride) if helper._get_const(stride, "is", "stride") else self.kernel
        self.ceil = bool(helper._get_const(ceil, "i", "ceil_mode"))
        sizes = _sizes(x)
        self.spatial = None if sizes is None else sizes[-axes:]
        self.counts: list[int] = []
        self.ends = self.pad
        if self.spatial is not None:
            self._fix(self.spatial)

    def _fix(self, spatial: list[int]) -> None:
        ends = []
        for size, k, s, p, d in zip(spatial, self.kernel, self.stride, self.pad, self.dilation):
            reach = (k - 1) * d + 1
            span = size + 2 * p - reach
            count = (-(-span // s) if self.ceil else span // s) + 1
            count -= self.ceil and (count - 1) * s >= size + p
            self.counts.append(count)
            ends.append(max((count - 1) * s + reach - size - p, 0) if self.ceil else p)
        if not _sizes_are_free:
            self.ends = ends

    @property
    def mode(self) -> int:
        """ONNX's ceil_mode."""
        return int(self.ceil and (_sizes_are_free or self.spatial is None))

    def average_factors(self, override: int | None) -> Any:
        """What averages over whole windows are multiplied by to be torch's, which count no more than the padding."""
        if self.spatial is None or override is not None:
            return np.float32(1 if override is None else np.prod(self.kernel) / override)
        factors = np.ones(())
        for size, k, s, p, count in zip(self.spatial, self.kernel, self.stride, self.pad, self.counts):
            starts = np.arange(count) * s - p
            factors = factors[..., None] * (k / (np.minimum(starts + k, size + p) - starts))
        return factors.astype(np.float32)


def _max_pool(axes: int, indices: bool) -> Any:
    def symbolic(g: Any, x: Any, kernel: Any, stride: Any, pad: Any, dilation: Any, ceil: Any) -> Any:
        w = _Windows(x, axes, kernel, stride, pad, dilation, ceil)
        attributes: dict[str, Any] = {
            "kernel_shape_i": w.kernel,
            "strides_i": w.stride,
            "pads_i": [*w.pad, *w.ends],
        }
        if w.mode:
            attributes["ceil_mode_i"] = 1
        if any(d != 1 for d in w.dilation):
            attributes["dilations_i"] = w.dilation
        if not indices:
            return g.op("MaxPool", x, **attributes)
        y, place = g.op("MaxPool", x, outputs=2, **attributes)
        whole = g.op("Shape", x)
        last = g.op("Slice", whole, *(_constant(g, [v], np.int64) for v in (-axes, 2**31 - 1)))
        plane = g.op("ReduceProd", last, keepdims_i=0)
        return y, g.op("Mod", place, plane)

    return symbolic


def _average_pool(axes: int) -> Any:
    def symbolic(
        g: Any, x: Any, kernel: Any, stride: Any, pad: Any, ceil: Any, count_pad: Any, override: Any = None
    ) -> Any:
        w = _Windows(x, axes, kernel, stride, pad, None, ceil)
        counted = bool(helper._get_const(count_pad, "b", "count_include_pad"))
        divisor = (
            None if override is None or helper._is_none(override) else helper._get_const(override, "i", "o")
        )
        attributes: dict[str, Any] = {"kernel_shape_i": w.kernel, "strides_i": w.stride}
        if w.mode or not counted:
            ends = w.ends if counted else w.pad
            more = {"ceil_mode_i": 1} if w.ceil else {}
            return g.op(
                "AveragePool",
                x,
                pads_i=[*w.pad, *ends],
                count_include_pad_i=int(counted),
                **more,
                **attributes,
            )
        if any(w.pad) or any(w.ends):
            before = [0, 0] if _sizes(x) is None or len(_sizes(x) or ()) == axes + 2 else [0]
            x = g.op("Pad", x, _constant(g, [*before, *w.pad, *before, *w.ends], np.int64))
        y = g.op("AveragePool", x, **attributes)
        factors = w.average_factors(divisor)
        return y if (factors == 1).all() else g.op("Mul", y, _constant(g, factors))

    return symbolic


_SYMBOLICS: dict[str, Any] = {
    "trunc": _trunc,
    "expm1": _expm1,
    "sort": _sort,
    "argsort": _argsort,
    "smooth_l1_loss": _smooth_l1_loss,
    "pad": _pad,
    "unfold": _unfold,
    "batch_norm": _batch_norm,
    **{f"max_pool{n}d": _max_pool(n, False) for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": _max_pool(n, True) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": _average_pool(n) for n in (2, 3)},
}
