"""Sums, products and comparisons of two values, of a value and a number, of a value and a constant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from caffe.importing.emitter import Emitter
from caffe.importing.graph import Shape
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule

Operand = Place | torch.Tensor | float | int


@rule("add", "add_")
def add(e: Emitter, input: Operand, other: Operand, alpha: float = 1) -> Place:
    """x + α · y."""
    if isinstance(input, Place) and isinstance(other, Place):
        if input.shape == other.shape and _full(input, input.shape) and _full(other, other.shape):
            coeff = [1, alpha] if alpha != 1 else []
            return e.eltwise("SUM", input, other, coeff=coeff)
        return broadcast_sum(e, input, scaled(e, other, alpha))
    if isinstance(input, Place):
        return plus(e, input, _times(other, alpha))
    return plus(e, scaled(e, other, alpha), input)


@rule("sub", "sub_")
def sub(e: Emitter, input: Operand, other: Operand, alpha: float = 1) -> Place:
    """x - α · y."""
    return add(e, input, other, -alpha)


@rule("rsub")
def rsub(e: Emitter, input: Operand, other: Operand, alpha: float = 1) -> Place:
    """y - α · x."""
    return add(e, other, input, -alpha)


@rule("mul", "mul_")
def mul(e: Emitter, input: Operand, other: Operand) -> Place:
    """x · y."""
    if isinstance(input, Place) and isinstance(other, Place):
        if input.blob == other.blob and input == other:
            return e.power(input, power=2)
        if input.shape == other.shape and _full(input, input.shape) and _full(other, other.shape):
            return e.eltwise("PROD", input, other)
        return broadcast_product(e, input, other)
    if isinstance(input, Place):
        return times(e, input, other)
    if not isinstance(other, Place):
        raise Inexpressible("two constants")
    return times(e, other, input)


@rule("addcmul")
def addcmul(e: Emitter, input: Operand, tensor1: Operand, tensor2: Operand, value: float = 1) -> Place:
    """x + v · y · z."""
    if isinstance(tensor1, torch.Tensor) and isinstance(tensor2, torch.Tensor):
        return add(e, input, tensor1 * tensor2, value)
    return add(e, input, mul(e, tensor1, tensor2), value)


@rule("div", "div_", "true_divide")
def div(e: Emitter, input: Operand, other: Operand, rounding_mode: str | None = None) -> Place:
    """x / y."""
    if rounding_mode is not None:
        e.needs("Floor")
        if rounding_mode != "floor":
            raise Inexpressible("division rounded to zero has no form")
        return e.each(div(e, input, other), "Floor", suffix="floor")
    if isinstance(other, Place):
        return mul(e, input, e.power(other, power=-1, suffix="inverse"))
    return mul(e, input, 1 / other if not isinstance(other, torch.Tensor) else other.float().reciprocal())


@rule("pow")
def power(e: Emitter, input: Operand, exponent: Operand) -> Place:
    """x^p for a number p, or b^x for a number b."""
    if isinstance(input, Place) and isinstance(exponent, torch.Tensor) and exponent.numel() == 1:
        exponent = float(exponent)
    if isinstance(input, Place) and isinstance(exponent, (int, float)):
        return e.power(input, power=float(exponent))
    if isinstance(exponent, Place) and isinstance(input, (int, float)):
        return e.each(exponent, "Exp", exp_param={"base": float(input)})
    raise Inexpressible("only powers with a number for exponent or base have a form")


@rule("maximum", "max_other")
def maximum(e: Emitter, input: Operand, other: Operand) -> Place:
    """max(x, y)."""
    return _extreme(e, input, other, 1)


@rule("minimum", "min_other")
def minimum(e: Emitter, input: Operand, other: Operand) -> Place:
    """min(x, y) = -max(-x, -y)."""
    return _extreme(e, input, other, -1)


def _extreme(e: Emitter, a: Operand, b: Operand, sign: int) -> Place:
    if not isinstance(a, Place):
        a, b = b, a
    if not isinstance(a, Place):
        raise Inexpressible("two constants")
    if not isinstance(b, Place):
        if isinstance(b, torch.Tensor) and b.numel() > 1:
            # max(x, b) = b + relu(x - b); min(x, b) = b - relu(b - x)
            over = plus(e, e.power(a, scale=sign, suffix="signed"), -sign * b)
            return plus(e, e.power(e.each(over, "ReLU", suffix="over"), scale=sign, suffix="back"), b)
        from caffe.importing.ops.activations import bounded

        return bounded(e, a, *((float(b), None) if sign > 0 else (None, float(b))))
    shape = torch.broadcast_shapes(a.shape, b.shape)
    first = e.repeated(with_axes(e, a, len(shape)), shape)
    second = e.repeated(with_axes(e, b, len(shape)), shape)
    if sign < 0:
        first, second = (e.power(p, scale=-1, suffix="negative") for p in (first, second))
    top = e.eltwise("MAX", first, second, suffix="" if sign > 0 else "max")
    return top if sign > 0 else e.power(top, scale=-1)


@rule("gt", "lt", "ge", "le")
def compare(e: Emitter, input: Place, other: Any) -> Place:
    """1 where x > t, else 0."""
    raise Inexpressible("comparisons other than with a threshold have no form")


@rule("where")
def where(e: Emitter, condition: Any, input: Operand, other: Operand) -> Place:
    """x where the constant condition holds, else y."""
    if not isinstance(condition, torch.Tensor):
        raise Inexpressible("a choice by values has no form", fix="Write it with relu, clamp or a product")
    mask = condition.float()
    first = mul(e, input, mask) if isinstance(input, Place) else torch.as_tensor(input) * mask
    second = mul(e, other, 1 - mask) if isinstance(other, Place) else torch.as_tensor(other) * (1 - mask)
    return add(e, first, second)


@rule("masked_fill")
def masked_fill(e: Emitter, input: Place, mask: Any, value: Any) -> Place:
    """The value where the constant mask holds."""
    return where(e, mask, torch.as_tensor(float(value)), input)


# Forms


def scaled(e: Emitter, x: Place | torch.Tensor | float, factor: float) -> Any:
    """A value times a number."""
    return e.power(x, scale=factor, suffix="scaled") if isinstance(x, Place) else _times(x, factor)


def _times(x: Any, factor: float) -> Any:
    return x * factor if factor != 1 else x


def _full(place: Place, shape: Shape) -> bool:
    return place.seen == shape


def with_axes(e: Emitter, place: Place, axes: int) -> Place:
    """The value with axes of 1 put in front."""
    more = axes - len(place.shape)
    if more == 0:
        return place
    place = e.ordered(place)
    held = (1,) * more + place.held
    top = e.reshaped(Place.of(place.blob, place.held), held)
    return replace(Place.of(top.blob, held), shape=(1,) * more + place.shape)


def plus(e: Emitter, x: Place, constant: Any) -> Place:
    """A value plus a number or a constant tensor."""
    if not isinstance(constant, torch.Tensor) or constant.numel() == 1:
        number = float(constant)
        shape = (
            x.shape
            if not isinstance(constant, torch.Tensor)
            else torch.broadcast_shapes(x.shape, constant.shape)
        )
        return e.power(with_axes(e, x, len(shape)), shift=number)
    x, axis, values = _along(e, x, constant)
    if values is None:
        return e.eltwise("SUM", x, x.put(_constant_like(e, x, constant)))
    return e.each(x, "Bias", blobs=[values], bias_param={"axis": axis, "num_axes": values.dim()})


def times(e: Emitter, x: Place, constant: Any) -> Place:
    """A value times a number or a constant tensor."""
    if not isinstance(constant, torch.Tensor) or constant.numel() == 1:
        number = float(constant)
        shape = (
            x.shape
            if not isinstance(constant, torch.Tensor)
            else torch.broadcast_shapes(x.shape, constant.shape)
        )
        return e.power(with_axes(e, x, len(shape)), scale=number)
    x, axis, values = _along(e, x, constant)
    if values is None:
        return e.eltwise("PROD", x, x.put(_constant_like(e, x, constant)))
    return e.each(x, "Scale", blobs=[values], scale_param={"axis": axis, "num_axes": values.dim()})


def _along(e: Emitter, x: Place, constant: torch.Tensor) -> tuple[Place, int, torch.Tensor | None]:
    """The value, an axis of its blob, and the constant for the blob's axes from there on (None: it differs
    along the batch).
    """
    shape = torch.broadcast_shapes(x.shape, constant.shape)
    x = e.repeated(with_axes(e, x, len(shape)), tuple(shape))
    values = constant.reshape((1,) * (len(shape) - constant.dim()) + tuple(constant.shape)).float()
    values = values.permute([x.order.index(i) for i in range(len(shape))])
    varying = [i for i, n in enumerate(values.shape) if n != 1]
    if not varying:
        varying = [len(shape) - 1]
    if varying[0] == 0:
        return x, 0, None
    first, last = varying[0], varying[-1]
    values = values.expand([values.shape[0], *x.held[1:]]) if last > first else values
    index = tuple(slice(None) if first <= i <= last else 0 for i in range(len(shape)))
    return x, first, values[index].contiguous()


def _constant_like(e: Emitter, x: Place, constant: torch.Tensor) -> str:
    values = constant.float().expand(x.shape).permute([x.order.index(i) for i in range(len(x.shape))])
    e.notes.append(f"{x.blob}: a constant that differs along the batch fixes the batch size")
    return e.constant(values).blob


def broadcast_sum(e: Emitter, a: Place, b: Place) -> Place:
    """Two values of different shapes, added."""
    big, small, axis = _big_and_small(e, a, b)
    if axis is None:
        return e.eltwise("SUM", big, small)
    return big.put(e.layer("Bias", [big, small], bias_param={"axis": axis}).blob)


def broadcast_product(e: Emitter, a: Place, b: Place) -> Place:
    """Two values of different shapes, multiplied."""
    big, small, axis = _big_and_small(e, a, b)
    if axis is None:
        return e.eltwise("PROD", big, small)
    return big.put(e.layer("Scale", [big, small], scale_param={"axis": axis}).blob)


def _big_and_small(e: Emitter, a: Place, b: Place) -> tuple[Place, Place, int | None]:
    """Two values such that the second's blob has just the axes of the first's from ``axis`` on."""
    shape = tuple(torch.broadcast_shapes(a.shape, b.shape))
    a, b = with_axes(e, a, len(shape)), with_axes(e, b, len(shape))
    if not _full(a, shape) and _full(b, shape):
        a, b = b, a
    big = e.repeated(a, shape)
    if _full(b, shape):
        return big, e.lying_as(b, big), None
    # the small one's axes as they lie in the big one's blob
    order = tuple(big.order.index(i) for i in range(len(shape)))
    small = e.ordered(replace(b, shape=b.seen).reordered(order))
    sizes = small.held
    used = [i for i, n in enumerate(sizes) if n != 1 or i == 0]
    if sizes[0] != big.held[0]:
        used = [i for i, n in enumerate(sizes) if n != 1]
        if not used:
            used = [len(shape) - 1]
    first, last = used[0], used[-1]
    wanted = tuple(big.held[i] if first <= i <= last else 1 for i in range(len(shape)))
    small = e.repeated(small, wanted)
    trimmed = e.reshaped(Place.of(small.blob, small.held), small.held[first : last + 1])
    return big, trimmed, first
