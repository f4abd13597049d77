"""Other dimensions, other orders of axes, repetition, joining."""

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


@rule("view", "reshape", "_unsafe_view", "_reshape_alias", "view_copy", "_reshape_copy")
def view(e: Emitter, input: Place, size: Any = None, shape: Any = None) -> Place:
    """Other dimensions for the same values."""
    return to_shape(e, input, _solved(math.prod(input.shape), size if shape is None else shape))


@rule("flatten")
def flatten(e: Emitter, input: Place, start_dim: int = 0, end_dim: int = -1) -> Place:
    """Several axes as one."""
    first, last = start_dim % len(input.shape), end_dim % len(input.shape)
    shape = input.shape
    return to_shape(e, input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@rule("unflatten")
def unflatten(e: Emitter, input: Place, dim: int, sizes: Sequence[int]) -> Place:
    """One axis as several."""
    axis = dim % len(input.shape)
    solved = _solved(input.shape[axis], sizes)
    return to_shape(e, input, (*input.shape[:axis], *solved, *input.shape[axis + 1 :]))


@rule("squeeze")
def squeeze(e: Emitter, input: Place, dim: Any = None) -> Place:
    """Axes of 1 taken out."""
    axes = len(input.shape)
    given = range(axes) if dim is None else [dim] if isinstance(dim, int) else dim
    out = {d % axes for d in given if input.shape[d] == 1}
    return to_shape(e, input, tuple(n for i, n in enumerate(input.shape) if i not in out))


@rule("unsqueeze")
def unsqueeze(e: Emitter, input: Place, dim: int) -> Place:
    """An axis of 1 put in."""
    at = dim % (len(input.shape) + 1)
    return to_shape(e, input, (*input.shape[:at], 1, *input.shape[at:]))


@rule("permute", padded=True)
def permute(e: Emitter, input: Place, dims: Sequence[int]) -> Place:
    """Axes in another order: noted, and carried out where a layer needs it."""
    return input.reordered(tuple(d % len(input.shape) for d in dims))


@rule("transpose", "swapaxes", padded=True)
def transpose(e: Emitter, input: Place, dim0: int, dim1: int) -> Place:
    """Two axes exchanged."""
    order = list(range(len(input.shape)))
    a, b = dim0 % len(order), dim1 % len(order)
    order[a], order[b] = order[b], order[a]
    return input.reordered(tuple(order))


@rule("t", "numpy_T", "adjoint", "mT", padded=True)
def matrix_transpose(e: Emitter, input: Place) -> Place:
    """The last two axes exchanged."""
    return transpose(e, input, -2, -1) if len(input.shape) > 1 else input


@rule("movedim")
def movedim(e: Emitter, input: Place, source: Any, destination: Any) -> Place:
    """Some axes moved."""
    src = [source] if isinstance(source, int) else list(source)
    dst = [destination] if isinstance(destination, int) else list(destination)
    axes = len(input.shape)
    order: list[int | None] = [None] * axes
    for s, d in zip(src, dst):
        order[d % axes] = s % axes
    rest = iter(i for i in range(axes) if i not in {s % axes for s in src})
    return input.reordered(tuple(next(rest) if o is None else o for o in order))


@rule("expand", "expand_as", "broadcast_to", "expand_copy")
def expand(e: Emitter, input: Place, size: Any = None, implicit: bool = False, other: Any = None) -> Place:
    """Axes of 1 repeated: noted, and carried out where a layer needs it."""
    wanted = list(other.shape if size is None else size)
    more = len(wanted) - len(input.shape)
    if more:
        from caffe.importing.ops.arithmetic import with_axes

        input = with_axes(e, input, len(wanted))
    shape = tuple(n if w == -1 else w for n, w in zip(input.shape, wanted))
    return replace(input, shape=shape)


@rule("repeat", "tile")
def repeat(e: Emitter, input: Place, repeats: Sequence[int] = (), dims: Sequence[int] = ()) -> Place:
    """The whole value several times along its axes."""
    from caffe.importing.ops.arithmetic import with_axes

    times = list(repeats or dims)
    times = [1] * (len(input.shape) - len(times)) + times
    x = e.repeated(with_axes(e, input, len(times)))
    for i, count in enumerate(times):
        if count != 1:
            axis = x.order[i]
            held = tuple(n * count if k == axis else n for k, n in enumerate(x.held))
            shape = tuple(n * count if k == i else n for k, n in enumerate(x.shape))
            top = e.layer("Tile", [x], suffix="tile", shape=held, tile_param={"axis": axis, "tiles": count})
            x = replace(x, blob=top.blob, held=held, shape=shape)
    return x


@rule("repeat_interleave")
def repeat_interleave(
    e: Emitter, input: Place, repeats: Any, dim: int | None = None, output_size: Any = None
) -> Place:
    """Each entry of an axis several times in a row."""
    if not isinstance(repeats, int) or dim is None:
        raise Inexpressible("only a number of repeats along an axis has a form")
    axis = dim % len(input.shape)
    shape = input.shape
    apart = to_shape(e, input, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    full = e.repeated(apart, (*shape[: axis + 1], repeats, *shape[axis + 1 :]))
    return to_shape(e, full, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))


@rule("cat", "concat")
def cat(e: Emitter, tensors: Sequence[Any], dim: int = 0) -> Place:
    """Values one behind the other."""
    places = (
        [t for t in tensors if not (t.dim() == 1 and t.numel() == 0)]
        if _all_tensors(tensors)
        else list(tensors)
    )
    whole = [t for t in places if isinstance(t, Place)]
    axes = len(whole[0].shape)
    axis = dim % axes
    parts = [t if isinstance(t, Place) else _constant_beside(e, t, whole[0], axis) for t in places]
    parts = [p for p in parts if p.shape != (0,) and p.shape[axis] > 0]
    return e.joined(parts, axis) if len(parts) > 1 else parts[0]


def _all_tensors(tensors: Sequence[Any]) -> bool:
    return all(isinstance(t, torch.Tensor) for t in tensors)


def _constant_beside(e: Emitter, constant: torch.Tensor, x: Place, axis: int) -> Place:
    """A constant with as many images as a value: made from the value where it is the same for all."""
    if axis == 0 or not bool((constant == constant[:1]).all()):
        return e.constant(constant)
    # zeros of the right batch, from the value; then the constant added
    zeros = e.plain(e.cut(x, axis, 0, 1))
    zeros = e.power(zeros, scale=0, suffix="zeros")
    zeros = e.repeated(zeros, tuple(constant.shape)) if zeros.shape != tuple(constant.shape) else zeros
    from caffe.importing.ops.arithmetic import plus

    return plus(e, zeros, constant[:1])


@rule("stack")
def stack(e: Emitter, tensors: Sequence[Any], dim: int = 0) -> Place:
    """Values one behind the other along a new axis."""
    axes = len(tensors[0].shape) + 1
    axis = dim % axes
    apart = [unsqueeze(e, t, axis) if isinstance(t, Place) else t.unsqueeze(axis) for t in tensors]
    return cat(e, apart, axis)


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(e: Emitter, input: Place, groups: int) -> Place:
    """Channels of g groups, dealt out."""
    x = e.plain(input)
    if e.dialect.has("ShuffleChannel"):
        return e.each(x, "ShuffleChannel", shuffle_channel_param={"group": groups})
    channels = x.shape[1]
    order = torch.arange(channels).reshape(groups, -1).t().reshape(-1)
    return chosen_channels(e, x, order)


@rule("pixel_shuffle")
def pixel_shuffle(e: Emitter, input: Place, upscale_factor: int) -> Place:
    """N × C·r² × H × W as N × C × r·H × r·W: a Deconvolution that puts each value in its place."""
    x, r = e.plain(input), upscale_factor
    n, c, h, w = x.shape
    weights = torch.eye(r * r).reshape(r * r, 1, r, r).repeat(c // r**2, 1, 1, 1)
    return deconvolution(e, x, weights, c // r**2, r, (n, c // r**2, h * r, w * r))


@rule("pixel_unshuffle")
def pixel_unshuffle(e: Emitter, input: Place, downscale_factor: int) -> Place:
    """N × C × r·H × r·W as N × C·r² × H × W: a Convolution that takes each value from its place."""
    x, r = e.plain(input), downscale_factor
    n, c, h, w = x.shape
    weights = torch.eye(r * r).reshape(r * r, 1, r, r).repeat(c, 1, 1, 1)
    param = dict(num_output=c * r * r, kernel_size=[r], stride=[r], group=c, bias_term=False)
    held = (n, c * r * r, h // r, w // r)
    place: Place = e.layer("Convolution", [x], shape=held, blobs=[weights], convolution_param=param)
    return place


def deconvolution(
    e: Emitter,
    x: Place,
    weights: torch.Tensor,
    channels: int,
    factor: int,
    shape: Shape,
    pad: int = 0,
    suffix: str = "",
) -> Place:
    """A Deconvolution of each channel (or group) alone by a fixed kernel."""
    param = dict(
        num_output=channels, kernel_size=[weights.shape[-1]], stride=[factor], group=channels, bias_term=False
    )
    if pad:
        param["pad"] = [pad]
    place: Place = e.layer(
        "Deconvolution", [x], suffix=suffix, shape=shape, blobs=[weights], convolution_param=param
    )
    return place


def to_shape(e: Emitter, place: Place, shape: Shape) -> Place:
    """The value with other dimensions; axes that only move over are not permuted for it."""
    shape = tuple(shape)
    if shape == place.shape:
        return place
    if place.seen != place.shape:
        kept = _still_repeated(place, shape)
        if kept is not None:
            small = to_shape(e, replace(place, shape=place.seen), kept)
            return replace(small, shape=shape)
        place = e.repeated(place)
    if not place.is_ordered:
        reshaped = _unmoved(e, place, shape)
        if reshaped is not None:
            return reshaped
        reshaped = _shuffled(e, place, shape)
        if reshaped is not None:
            return reshaped
    place = e.ordered(place)
    top = e.reshaped(Place.of(place.blob, place.held), shape)
    return Place.of(top.blob, shape)


def _still_repeated(place: Place, shape: Shape) -> Shape | None:
    """The small shape where only axes of 1 come or go."""
    if tuple(n for n in shape if n != 1) != tuple(n for n in place.shape if n != 1):
        return None
    sizes = iter(s for s, n in zip(place.seen, place.shape) if n != 1)
    return tuple(1 if n == 1 else next(sizes) for n in shape)


def _unmoved(e: Emitter, place: Place, shape: Shape) -> Place | None:
    """Where every new axis is a run of axes that lie together in the blob: only the blob is reshaped."""
    groups = _groups(place.shape, shape)
    if groups is None:
        return None
    runs: list[tuple[list[int], list[int]]] = []  # axes of the blob, the new axes they become
    for old, new in groups:
        held = [place.order[i] for i in old if place.shape[i] != 1]
        if held != list(range(held[0], held[0] + len(held))) if held else False:
            inner = list(range(held[0], held[-1] + 1)) if held == sorted(held) else None
            if inner is None or any(place.held[k] != 1 for k in inner if k not in held):
                return None
        runs.append((held, new))
    ordered = sorted((r for r in runs if r[0]), key=lambda r: r[0][0])
    loose = [r for r in runs if not r[0]]
    held_shape: list[int] = []
    order = [0] * len(shape)
    for _, new in [*ordered, *loose]:
        for axis in new:
            order[axis] = len(held_shape)
            held_shape.append(shape[axis])
    top = e.reshaped(Place.of(place.blob, place.held), tuple(held_shape))
    return Place(top.blob, tuple(held_shape), tuple(order), shape)


def _groups(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]] | None:
    """Runs of old axes and of new axes that hold the same values, as short as can be."""
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        a, b = ([i], old[i]) if i < len(old) else ([], 1), ([j], new[j]) if j < len(new) else ([], 1)
        (left, m), (right, n) = a, b
        i, j = i + len(left), j + len(right)
        while m != n:
            if m < n:
                if i >= len(old):
                    return None
                m, left, i = m * old[i], [*left, i], i + 1
            else:
                if j >= len(new):
                    return None
                n, right, j = n * new[j], [*right, j], j + 1
        groups.append((left, right))
    return groups


def _shuffled(e: Emitter, place: Place, shape: Shape) -> Place | None:
    """Where all of it only deals out channels: ShuffleChannel, or a 1×1 convolution where nothing permutes."""
    source = e.source(place)
    if len(source.held) < 2 or len(shape) != len(source.held) or len(shape) > 4:
        return None
    if shape[0] != source.held[0] or shape[2:] != source.held[2:] or shape[1] != source.held[1]:
        return None
    one = (1, *source.held[1:])
    if place.held[0] != source.held[0] or place.order[0] != 0:
        return None
    index = (
        torch.arange(math.prod(one)).reshape(1, *place.held[1:]).permute(place.order).reshape(1, *shape[1:])
    )
    inner = math.prod(one[2:])
    order = index.reshape(shape[1], -1)[:, 0] // inner
    if not torch.equal(index, torch.arange(math.prod(one)).reshape(one)[:, order]):
        return None
    groups = next(
        (
            g
            for g in range(2, len(order))
            if len(order) % g == 0
            and torch.equal(order, torch.arange(len(order)).reshape(g, -1).t().reshape(-1))
        ),
        0,
    )
    if groups and e.dialect.has("ShuffleChannel"):
        return e.each(source, "ShuffleChannel", shuffle_channel_param={"group": groups})
    if e.dialect.has("Permute"):
        return None
    return chosen_channels(e, source, order)


def chosen_channels(e: Emitter, x: Place, order: torch.Tensor) -> Place:
    """Some channels in some order, by a 1×1 convolution with a one in each row."""
    channels = x.shape[1]
    weights = torch.eye(channels)[order]
    e.notes.append(f"{x.blob}: channels put in order by a 1×1 convolution")
    held = (x.shape[0], len(order), *x.shape[2:])
    if len(x.shape) == 2:
        place: Place = e.layer(
            "InnerProduct",
            [x],
            shape=held,
            blobs=[weights],
            inner_product_param={"num_output": len(order), "bias_term": False},
        )
        return place
    weights = weights.reshape(len(order), channels, *(1,) * (len(x.shape) - 2))
    param = {"num_output": len(order), "kernel_size": [1], "bias_term": False}
    return e.layer("Convolution", [x], shape=held, blobs=[weights], convolution_param=param)


def _solved(count: int, sizes: Sequence[int]) -> Shape:
    known = math.prod(n for n in sizes if n != -1)
    return tuple(count // known if n == -1 else int(n) for n in sizes)
