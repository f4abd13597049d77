"""Layers that move values about."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from caffe.export.forms.form import Form, form_of, function
from caffe.export.graph import Node


@form_of("Flatten")
def flatten(node: Node) -> Form | None:
    p = node.layer.param.flatten_param
    shape = node.bottom_shapes[0]
    first, last = node.layer.axis(p.axis, shape), node.layer.axis(p.end_axis, shape)
    if first >= last:
        return None if first > last else function(lambda x: x, "{0}")
    if last == len(shape) - 1:
        return function(lambda x: x.flatten(first), f"{{0}}.flatten({first})")
    return function(lambda x: x.flatten(first, last), f"{{0}}.flatten({first}, {last})")


@form_of("Reshape")
def reshape(node: Node) -> Form | None:
    p = node.layer.param.reshape_param
    r = p.pixelshuffler
    if r != 1:
        return function(lambda x: torch.pixel_shuffle(x, r), f"torch.pixel_shuffle({{0}}, {r})")
    axes = len(node.bottom_shapes[0])
    start = p.axis if p.axis >= 0 else axes + 1 + p.axis
    end = axes if p.num_axes == -1 else start + p.num_axes
    dims: list[int | None] = [None] * start  # None copies, (i, …) below
    copied = list(range(start))
    for i, dim in enumerate(p.shape.dim):
        dims.append(None if dim == 0 else dim)
        copied.append(start + i)
    dims += [None] * (axes - end)
    copied += range(end, axes)
    places = [(dim, copy) for dim, copy in zip(dims, copied)]
    if any(d is not None and d != -1 for d in dims) or -1 not in dims:
        places = _free_batch(places, node)

    def run(x: torch.Tensor) -> torch.Tensor:
        return x.reshape([x.shape[copy] if dim is None else dim for dim, copy in places])

    inner = ", ".join(f"{{0}}.shape[{copy}]" if dim is None else str(dim) for dim, copy in places)
    return function(run, f"{{0}}.reshape({inner or '()'})")


def _free_batch(places: list[tuple[int | None, int]], node: Node) -> list[tuple[int | None, int]]:
    """A copied size of the bottom that stays where it was needs no -1 beside it."""
    return places


@form_of("Pad")
def pad(node: Node) -> Form | None:
    p = node.layer.param.pad_param
    pairs = list(zip(p.paddings[::2], p.paddings[1::2]))
    while pairs and pairs[0] == (0, 0):
        del pairs[0]  # torch counts from the last axis, and needs no more than those that change
    sizes = [int(size) for pair in reversed(pairs) for size in pair]
    value = f", value={p.constant_values:g}" if p.constant_values else ""
    return function(lambda x: F.pad(x, sizes, value=p.constant_values), f"F.pad({{0}}, {sizes}{value})")


@form_of("Permute", "Transpose")
def permute(node: Node) -> Form | None:
    layer: Any = node.layer
    if node.type == "Permute":
        order = tuple(layer.order(len(node.bottom_shapes[0])))
    else:
        order = tuple(layer.param.transpose_param.dim)
    return function(lambda x: x.permute(order), "{0}.permute(" + ", ".join(map(str, order)) + ")")


@form_of("Squeeze")
def squeeze(node: Node) -> Form | None:
    layer: Any = node.layer
    axes = tuple(sorted(layer.axes(node.bottom_shapes[0])))
    if not layer.param.squeeze_param.axis:
        return None

    def run(x: torch.Tensor) -> torch.Tensor:
        for axis in reversed(axes):
            x = x.squeeze(axis)
        return x

    return function(run, "{0}" + "".join(f".squeeze({axis})" for axis in reversed(axes)))


@form_of("Slice")
def slices(node: Node) -> Form | None:
    layer: Any = node.layer
    axis, sizes = layer.sizes(node.bottom_shapes[0])
    return function(lambda x: torch.split(x, sizes, axis), f"torch.split({{0}}, {sizes}, {axis})")


@form_of("Tile")
def tile(node: Node) -> Form | None:
    p = node.layer.param.tile_param
    axis, times = node.layer.axis(p.axis, node.bottom_shapes[0]), p.tiles
    return function(lambda x: torch.cat([x] * times, axis), f"torch.cat([{{0}}] * {times}, {axis})")


@form_of("Reverse")
def reverse(node: Node) -> Form | None:
    layer: Any = node.layer
    axes = layer.axes(node.bottom_shapes[0])
    return function(lambda x: x.flip(axes), f"{{0}}.flip({', '.join(map(str, axes))})")


@form_of("Reduction")
def reduction(node: Node) -> Form | None:
    p = node.layer.param.reduction_param
    shape = node.bottom_shapes[0]
    first = node.layer.axis(p.axis, shape)
    axes = tuple(range(first, len(shape)))
    if not axes or p.coeff != 1:
        return None
    before, name = {
        p.SUM: ("", "sum"),
        p.MEAN: ("", "mean"),
        p.ASUM: (".abs()", "sum"),
        p.SUMSQ: (".square()", "sum"),
    }[p.operation]

    def run(x: torch.Tensor) -> torch.Tensor:
        x = x.abs() if p.operation == p.ASUM else x.square() if p.operation == p.SUMSQ else x
        return x.mean(axes) if p.operation == p.MEAN else x.sum(axes)

    return function(run, f"{{0}}{before}.{name}({axes})")


@form_of("ArgMax")
def arg_max(node: Node) -> Form | None:
    p = node.layer.param.argmax_param
    if p.top_k != 1 or p.out_max_val:
        return None
    if p.HasField("axis"):
        axis = node.layer.axis(p.axis, node.bottom_shapes[0])
        last = node.bottom_shapes[0][axis] - 1
        return function(
            lambda x: (last - x.flip(axis).argmax(axis, keepdim=True)).to(x.dtype),
            f"({last} - {{0}}.flip({axis}).argmax({axis}, keepdim=True)).to({{0}}.dtype)",
        )
    last = math.prod(node.bottom_shapes[0][1:]) - 1
    ones = (1,) * max(len(node.bottom_shapes[0]) - 1, 2)
    return function(
        lambda x: (last - x.flatten(1).flip(1).argmax(1)).to(x.dtype).reshape(-1, *ones),
        f"({last} - {{0}}.flatten(1).flip(1).argmax(1)).to({{0}}.dtype).reshape(-1, {', '.join(map(str, ones))})",
    )


@form_of("Flip")
def flip(node: Node) -> Form | None:
    p = node.layer.param.flip_param
    axes = [axis for axis, wanted in ((2, p.flip_height), (3, p.flip_width)) if wanted]
    return function(lambda x: x.flip(axes), f"{{0}}.flip({axes})")


@form_of("AutoCrop")
def auto_crop(node: Node) -> Form | None:
    size, (height, width) = node.bottom_shapes[0][2:], node.top_shapes[0][2:]
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    rows, columns = slice(top, top + height), slice(left, left + width)
    text = f"{{0}}[:, :, {top}:{top + height}, {left}:{left + width}]"
    return function(lambda x, like: x[:, :, rows, columns], text)
