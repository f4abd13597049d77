"""Padding: taken over by a convolution or pooling behind it, or carried out here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from caffe.importing.emitter import Emitter
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule

Sides = tuple[tuple[int, int], ...]


@rule("constant_pad_nd", padded=True)
def constant_pad(e: Emitter, input: Place, pad: Sequence[int], value: float = 0) -> Place:
    """A border of one value: noted, for the layer behind."""
    if input.pads:
        input = e.padded(input)
    sides = sides_of(pad, len(input.shape))
    if not any(map(any, sides)):
        return input
    shape = tuple(n + a + b for n, (a, b) in zip(input.shape, sides))
    return replace(input, shape=shape, pads=sides, fill=float(value))


@rule("pad")
def general_pad(
    e: Emitter, input: Place, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Place:
    """torch.nn.functional.pad."""
    if mode == "constant":
        return constant_pad(e, input, pad, value or 0)
    return mirrored(e, input, pad, mode)


def _bordering(op: str, mode: str) -> None:
    @rule(op)
    def function(e: Emitter, input: Place, padding: Sequence[int]) -> Place:
        return mirrored(e, input, padding, mode)


for _axes in "123":
    _bordering(f"reflection_pad{_axes}d", "reflect")
    _bordering(f"replication_pad{_axes}d", "replicate")


def sides_of(pad: Sequence[int], axes: int) -> Sides:
    """PyTorch's list, last axis first, as one pair an axis."""
    sides = [(0, 0)] * axes
    for i in range(len(pad) // 2):
        sides[axes - 1 - i] = (int(pad[2 * i]), int(pad[2 * i + 1]))
    return tuple(sides)


def mirrored(e: Emitter, x: Place, padding: Sequence[int], mode: str) -> Place:
    """Borders made of the value's own rows: slices, joined."""
    for axis, (before, after) in enumerate(sides_of(padding, len(x.shape))):
        size = x.shape[axis]
        if before or after:
            head = [_row(e, x, axis, _index(i, size, mode)) for i in range(-before, 0)]
            tail = [_row(e, x, axis, _index(i, size, mode)) for i in range(size, size + after)]
            x = e.joined([*head, x, *tail], axis, suffix="pad")
    return x


def _row(e: Emitter, x: Place, axis: int, at: int) -> Place:
    return e.cut(x, axis, at, at + 1)


def _index(i: int, size: int, mode: str) -> int:
    """The row that stands at place i outside of a map."""
    if mode == "reflect":
        return abs(i) if i < size else 2 * (size - 1) - i
    return i % size if mode == "circular" else min(max(i, 0), size - 1)


@rule("carry_out_padding", padded=True)
def pad(e: Emitter, place: Place, sides: Sides = ()) -> Place:
    """A place with its padding (or ``sides`` of zeros) carried out."""
    if not sides:
        sides, fill = place.pads, place.fill
        place = replace(
            place, pads=(), fill=0.0, shape=tuple(n - a - b for n, (a, b) in zip(place.shape, sides))
        )
    else:
        fill = 0.0
    for axis, (before, after) in enumerate(sides):
        size = place.shape[axis]
        place = e.cut(place, axis, max(0, -before), size - max(0, -after))
    sides = tuple((max(a, 0), max(b, 0)) for a, b in sides)
    if not any(map(any, sides)):
        return place
    if fill in (float("inf"), float("-inf")):
        raise Inexpressible("only max pooling takes a border of infinity")
    x = e.power(place, shift=-fill, suffix="unfilled")
    x = _with_zeros(e, x, sides)
    return e.power(x, shift=fill, suffix="filled")


def _with_zeros(e: Emitter, x: Place, sides: Sides) -> Place:
    if len(x.shape) == 4 and sides[0] == sides[1] == (0, 0) and e.repeated(x).is_ordered:
        return _by_convolution(e, e.plain(x), sides)
    for axis, (before, after) in enumerate(sides):
        if not (before or after):
            continue
        zeros = e.power(e.cut(x, axis, 0, 1), scale=0, suffix="zeros")
        parts = []
        for count in (before, after):
            if count:
                shape = tuple(count if i == axis else n for i, n in enumerate(zeros.shape))
                parts.append(e.repeated(zeros, shape))
        x = e.joined([*parts[: bool(before)], x, *parts[bool(before) :]], axis, suffix="pad")
    return x


def _by_convolution(e: Emitter, x: Place, sides: Sides) -> Place:
    """A 1×1 convolution of each channel with itself, whose padding is the border; what is too much is cut off."""
    channels = x.shape[1]
    pads = [max(s) for s in sides[2:]]
    shape = (x.shape[0], channels, *(n + 2 * p for n, p in zip(x.shape[2:], pads)))
    param: dict[str, Any] = {
        "num_output": channels,
        "group": channels,
        "bias_term": False,
        "kernel_size": [1],
    }
    param.update({"pad": [pads[0]]} if len(set(pads)) == 1 else {"pad_h": pads[0], "pad_w": pads[1]})
    if "pad_h" in param:
        del param["kernel_size"]
        param.update(kernel_h=1, kernel_w=1)
    ones = torch.ones(channels, 1, 1, 1)
    top: Place = e.layer("Convolution", [x], suffix="pad", shape=shape, blobs=[ones], convolution_param=param)
    for i, (before, after) in enumerate(sides[2:], 2):
        most = max(before, after)
        top = e.cut(top, i, most - before, top.shape[i] - (most - after))
    return top
