"""Parts of a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from caffe.importing.emitter import Emitter
from caffe.importing.graph import Shape
from caffe.importing.ops.shapes import chosen_channels, to_shape
from caffe.importing.place import Place
from caffe.importing.rules import CUTTING, Inexpressible, rule

Ranges = tuple[int, list[tuple[int, int]]]


def _bounds(size: int, start: Any, end: Any) -> tuple[int, int]:
    first, last, _ = slice(start, end).indices(size)
    return first, max(first, last)


def _slice_ranges(
    shape: Shape, input: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Ranges:
    axis = dim % len(shape)
    return axis, [_bounds(shape[axis], start, end)] if step == 1 else []


def _select_ranges(shape: Shape, input: Any, dim: int, index: int) -> Ranges:
    axis = dim % len(shape)
    at = index % shape[axis]
    return axis, [(at, at + 1)]


def _split_ranges(
    shape: Shape, input: Any, split_size: Any = None, split_sizes: Any = None, dim: int = 0
) -> Ranges:
    axis = dim % len(shape)
    given = split_size if split_sizes is None else split_sizes
    size = shape[axis]
    if isinstance(given, int):
        return axis, [(a, min(a + given, size)) for a in range(0, size, given)]
    ranges, at = [], 0
    for n in given:
        ranges.append((at, at + n))
        at += n
    return axis, ranges


def _chunk_ranges(shape: Shape, input: Any, chunks: int, dim: int = 0) -> Ranges:
    return _split_ranges(shape, input, -(-shape[dim] // chunks), dim=dim)


def _unbind_ranges(shape: Shape, input: Any, dim: int = 0) -> Ranges:
    return _split_ranges(shape, input, 1, dim=dim)


def _narrow_ranges(shape: Shape, input: Any, dim: int, start: int, length: int) -> Ranges:
    return dim % len(shape), [(start % shape[dim], start % shape[dim] + length)]


CUTTING.update(
    slice=_slice_ranges,
    select=_select_ranges,
    split=_split_ranges,
    split_with_sizes=_split_ranges,
    chunk=_chunk_ranges,
    unbind=_unbind_ranges,
    narrow=_narrow_ranges,
)


@rule("slice")
def slice_(
    e: Emitter, input: Place, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Place:
    """A range of an axis, or every step-th of it."""
    axis = dim % len(input.shape)
    first, last = _bounds(input.shape[axis], start, end)
    if first == last:
        raise Inexpressible("an empty range has no form")
    if step == 1:
        return e.cut(input, axis, first, last)
    count = -(-(last - first) // step)
    # the last wanted one ends the range, so that the windows of a pooling fit
    x = e.cut(input, axis, first, first + (count - 1) * step + 1)
    return _strided(e, x, axis, step, count)


def _strided(e: Emitter, x: Place, axis: int, step: int, count: int) -> Place:
    """Every step-th row: a pooling of windows of one value."""
    x = e.repeated(x)
    held_axis = x.order[axis]
    shape = tuple(count if i == axis else n for i, n in enumerate(x.shape))
    held = tuple(count if i == held_axis else n for i, n in enumerate(x.held))
    if len(x.held) == 4 and held_axis > 1:
        image, back = Place.of(x.blob, x.held), None
        steps = (step, 1) if held_axis == 2 else (1, step)
    else:
        before = x.held[:held_axis]
        inner = 1
        for n in x.held[held_axis + 1 :]:
            inner *= n
        outer = 1
        for n in before:
            outer *= n
        image, back = e.reshaped(Place.of(x.blob, x.held), (outer, 1, x.held[held_axis], inner)), held
        steps = (step, 1)
    param = {"pool": "MAX", "kernel_h": 1, "kernel_w": 1, "stride_h": steps[0], "stride_w": steps[1]}
    out = held if back is None else (image.held[0], 1, count, image.held[3])
    top = e.layer(
        "Pooling", [image], suffix="" if back is None else "strided", shape=out, pooling_param=param
    )
    if back is not None:
        top = e.reshaped(top, back)
    return replace(x, blob=top.blob, held=held, shape=shape)


@rule("select")
def select(e: Emitter, input: Place, dim: int, index: int) -> Place:
    """One entry of an axis, without the axis."""
    axis, [(first, last)] = _select_ranges(input.shape, input, dim, index)
    part = e.cut(input, axis, first, last)
    return to_shape(e, part, tuple(n for i, n in enumerate(part.shape) if i != axis))


@rule("narrow")
def narrow(e: Emitter, input: Place, dim: int, start: int, length: int) -> Place:
    """A range of an axis."""
    axis, [(first, last)] = _narrow_ranges(input.shape, input, dim, start, length)
    return e.cut(input, axis, first, last)


@rule("split", "split_with_sizes")
def split(
    e: Emitter, input: Place, split_size: Any = None, split_sizes: Any = None, dim: int = 0
) -> list[Place]:
    """An axis cut into ranges."""
    axis, ranges = _split_ranges(input.shape, input, split_size, split_sizes, dim)
    return [e.cut(input, axis, a, b) for a, b in ranges]


@rule("chunk")
def chunk(e: Emitter, input: Place, chunks: int, dim: int = 0) -> list[Place]:
    """An axis cut into equal ranges."""
    axis, ranges = _chunk_ranges(input.shape, input, chunks, dim)
    return [e.cut(input, axis, a, b) for a, b in ranges]


@rule("unbind")
def unbind(e: Emitter, input: Place, dim: int = 0) -> list[Place]:
    """The entries of an axis, without the axis."""
    return [select(e, input, dim, i) for i in range(input.shape[dim])]


@rule("slice_scatter")
def slice_scatter(
    e: Emitter, input: Place, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Place:
    """A value with a range of an axis replaced."""
    axis = dim % len(input.shape)
    first, last = _bounds(input.shape[axis], start, end)
    if step != 1:
        raise Inexpressible("every other row replaced has no form")
    if isinstance(src, torch.Tensor):
        raise Inexpressible("a range replaced by a constant has no form")
    parts = [src]
    if first > 0:
        parts.insert(0, e.cut(input, axis, 0, first))
    if last < input.shape[axis]:
        parts.append(e.cut(input, axis, last, input.shape[axis]))
    return e.joined(parts, axis) if len(parts) > 1 else src


@rule("copy")
def copy(e: Emitter, input: Any, src: Any, non_blocking: bool = False) -> Any:
    """What is written over a value."""
    return src


@rule("index_select")
def index_select(e: Emitter, input: Place, dim: int, index: Any) -> Place:
    """Chosen entries of an axis, in order."""
    if not isinstance(index, torch.Tensor):
        raise Inexpressible("indices that the net computes have no form")
    return taken(e, input, dim % len(input.shape), index)


@rule("index")
def index(e: Emitter, input: Place, indices: Sequence[Any]) -> Place:
    """Chosen entries of one axis."""
    used = [(i, t) for i, t in enumerate(indices) if t is not None]
    if len(used) != 1 or not isinstance(used[0][1], torch.Tensor) or used[0][1].dim() != 1:
        raise Inexpressible("only constant indices of one axis have a form")
    axis, entries = used[0]
    return taken(e, input, axis, entries.nonzero()[:, 0] if entries.dtype == torch.bool else entries)


@rule("flip")
def flip(e: Emitter, input: Place, dims: Sequence[int]) -> Place:
    """Axes from behind."""
    x = input
    for dim in dims:
        axis = dim % len(x.shape)
        x = taken(e, x, axis, torch.arange(x.shape[axis] - 1, -1, -1))
    return x


@rule("roll")
def roll(e: Emitter, input: Place, shifts: Sequence[int], dims: Sequence[int] = ()) -> Place:
    """Axes turned round: two slices, joined the other way."""
    x = input
    for shift, dim in zip(shifts, dims):
        axis = dim % len(x.shape)
        size = x.shape[axis]
        at = (-shift) % size
        if at:
            x = e.joined([e.cut(x, axis, at, size), e.cut(x, axis, 0, at)], axis, suffix="rolled")
    return x


def taken(e: Emitter, x: Place, axis: int, entries: torch.Tensor) -> Place:
    """Entries of an axis in some order: runs of it joined, or channels dealt out by a convolution."""
    order = [int(i) % x.shape[axis] for i in entries]
    if axis == 1 and x.is_plain and len(x.shape) in (2, 4):
        return chosen_channels(e, x, torch.tensor(order))
    runs: list[list[int]] = []
    for i in order:
        if runs and runs[-1][1] == i:
            runs[-1][1] = i + 1
        else:
            runs.append([i, i + 1])
    if len(runs) > 256:
        raise Inexpressible(f"{len(runs)} separate ranges are too many")
    parts = [e.cut(x, axis, a, b) for a, b in runs]
    return e.joined(parts, axis) if len(parts) > 1 else parts[0]
