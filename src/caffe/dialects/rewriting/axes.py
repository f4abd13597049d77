"""Axes in another order, in other shapes, and pooling that rounds down."""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe.dialects.rewriting.draft import (
    Draft,
    Layer,
    Piece,
    Shape,
    layer,
    renamed,
    rewrites,
    without_values,
)

_MOST_SLICES = 512


def reshaped(of: Layer, bottom: str, top: str, before: Shape, after: Shape) -> Layer:
    """A Reshape that keeps the batch open where both shapes begin with it."""
    made = layer(of, "Reshape", of.name if top == of.top[0] else top, [bottom], [top])
    keeps = bool(before and after) and before[0] == after[0]
    made.reshape_param.shape.dim.extend((0, *after[1:]) if keeps else after)
    return made


@rewrites("Transpose", says="as Permute")
def transpose(piece: Piece, draft: Draft) -> list[Piece]:
    made = layer(piece.layer, "Permute", piece.layer.name, [*piece.layer.bottom], [*piece.layer.top])
    made.permute_param.order.extend(piece.layer.transpose_param.dim)
    return without_values(made)


@rewrites("Permute", says="as Transpose")
def permute_as_transpose(piece: Piece, draft: Draft) -> list[Piece] | None:
    before = draft.shape(piece.layer.bottom[0])
    if before is None:
        return None
    made = layer(piece.layer, "Transpose", piece.layer.name, [*piece.layer.bottom], [*piece.layer.top])
    made.transpose_param.dim.extend(_order(piece.layer, before))
    return without_values(made)


@rewrites("Permute", says="as Reshape, or as Slice, Reshape and Concat")
def permute(piece: Piece, draft: Draft) -> list[Piece] | None:
    """Runs of neighbouring axes that change places, one pair after the other; axes of size 1 are left aside."""
    of = piece.layer
    before = draft.shape(of.bottom[0])
    if before is None or 0 in before:
        return None
    order = _order(of, before)
    after = tuple(before[i] for i in order)
    batch = before[0] if order[0] == 0 else 1
    pinned = {0} if order[0] == 0 else set()
    now = [i for i in range(len(before)) if before[i] > 1 and i not in pinned]
    wanted = [i for i in order if before[i] > 1 and i not in pinned]
    if now == wanted:
        return without_values(reshaped(of, of.bottom[0], of.top[0], before, after))
    layers: list[Layer] = []
    source, shape = of.bottom[0], before
    while now != wanted:
        at = next(n for n, (a, b) in enumerate(zip(now, wanted)) if a != b)
        first = last = now.index(wanted[at])
        while last < len(now) and now[last] == wanted[at + last - first]:
            last += 1
        parts = now[:at], now[at:first], now[first:last], now[last:]
        now = [*parts[0], *parts[2], *parts[1], *parts[3]]
        turned = after if now == wanted else (batch, *(before[i] for i in now))
        top = of.top[0] if now == wanted else draft.between(of, "turned", turned)
        p, a, b, s = (math.prod(before[i] for i in part) for part in parts)
        made = _swapped(of, draft, source, top, shape, (batch, p, a, b, s), turned)
        if made is None:
            return None
        layers += made
        source, shape = top, turned
    return without_values(*layers)


def _swapped(
    of: Layer, draft: Draft, bottom: str, top: str, before: Shape, five: Shape, after: Shape
) -> list[Layer] | None:
    """N × P × A × B × S as N × P × B × A × S: slices along the shorter of A and B, put together along it."""
    n, p, a, b, s = five
    count, axis = (a, 2) if a <= b else (b, 3)
    if count > _MOST_SLICES:
        return None
    split = draft.between(of, "axes", five)
    cut = layer(of, "Slice", draft.unique(f"{of.name}_slice"), [split], [])
    cut.slice_param.axis = axis
    layers = [reshaped(of, bottom, split, before, five), cut]
    turned = []
    part, new = ((n, p, 1, b, s), (n, p, b, 1, s)) if axis == 2 else ((n, p, a, 1, s), (n, p, 1, a, s))
    for i in range(count):
        cut.top.append(draft.between(of, f"part{i}", part))
        turned.append(draft.between(of, f"turned{i}", new))
        layers.append(reshaped(of, cut.top[i], turned[i], part, new))
    joined = draft.between(of, "joined", (n, p, b, a, s))
    whole = layer(of, "Concat", joined, turned, [joined])
    whole.concat_param.axis = 3 if axis == 2 else 2
    return [*layers, whole, reshaped(of, joined, top, (n, p, b, a, s), after)]


def _order(of: Layer, shape: Shape) -> list[int]:
    given = [int(i) for i in of.permute_param.order]
    return given + [i for i in range(len(shape)) if i not in given]


@rewrites("ShuffleChannel", says="as Reshape, Permute and Reshape, or their forms")
def shuffle(piece: Piece, draft: Draft) -> list[Piece] | None:
    of, group = piece.layer, piece.layer.shuffle_channel_param.group
    shape = draft.shape(of.bottom[0])
    if shape is None:
        return None
    n, c, *rest = shape
    pixels = math.prod(rest)
    return _through_permute(of, draft, shape, (n, group, c // group, pixels), (0, 2, 1, 3), shape)


@rewrites("DepthToSpace", "SpaceToDepth", says="as Reshape, Permute and Reshape, or their forms")
def blocks(piece: Piece, draft: Draft) -> list[Piece] | None:
    of = piece.layer
    before, after = draft.shape(of.bottom[0]), draft.shape(of.top[0])
    p = of.depth_to_space_param if of.type == "DepthToSpace" else of.space_to_depth_param
    if before is None or after is None or p.data_format != "NCHW":
        return None
    n, c, h, w = before
    k = p.block_size
    if of.type == "DepthToSpace":
        return _through_permute(of, draft, before, (n, k, k, c // k**2, h, w), (0, 3, 4, 1, 5, 2), after)
    return _through_permute(of, draft, before, (n, c, h // k, k, w // k, k), (0, 3, 5, 1, 2, 4), after)


def _through_permute(
    of: Layer, draft: Draft, before: Shape, split: Shape, order: Sequence[int], after: Shape
) -> list[Piece]:
    first = draft.between(of, "split", split)
    turned = tuple(split[i] for i in order)
    second = draft.between(of, "turned", turned)
    middle = layer(of, "Permute", second, [first], [second])
    middle.permute_param.order.extend(order)
    return without_values(
        reshaped(of, of.bottom[0], first, before, split),
        middle,
        reshaped(of, second, of.top[0], turned, after),
    )


@rewrites("Flatten", "Squeeze", "ExpandDimsND", says="as Reshape")
def as_reshape(piece: Piece, draft: Draft) -> list[Piece] | None:
    of = piece.layer
    before, after = draft.shape(of.bottom[0]), draft.shape(of.top[0])
    if before is None or after is None:
        return None
    return without_values(reshaped(of, of.bottom[0], of.top[0], before, after))


@rewrites("Reshape", says="as Flatten")
def reshape_as_flatten(piece: Piece, draft: Draft) -> list[Piece] | None:
    of = piece.layer
    before, after = draft.shape(of.bottom[0]), draft.shape(of.top[0])
    if before is None or after is None or len(after) != 2 or before[:1] != after[:1]:
        return None
    return without_values(layer(of, "Flatten", of.name, [*of.bottom], [*of.top]))


@rewrites(
    "Pooling", says="with windows counted upwards, the last row and column cut off where there is one more"
)
def rounds_down(piece: Piece, draft: Draft) -> list[Piece] | None:
    of, p = piece.layer, piece.layer.pooling_param
    before, after = draft.shape(of.bottom[0]), draft.shape(of.top[0])
    down = p.round_mode == p.FLOOR or not p.ceil_mode
    if not down or len(of.top) > 1 or before is None or after is None or len(before) != 4:
        return None
    made = renamed(of, "Pooling")
    made.pooling_param.ClearField("round_mode")
    made.pooling_param.ClearField("ceil_mode")
    counts = []
    for size, kernel, stride, pad in zip(
        before[2:],
        (p.kernel_h or p.kernel_size, p.kernel_w or p.kernel_size),
        (p.stride_h or p.stride, p.stride_w or p.stride),
        (p.pad_h or p.pad, p.pad_w or p.pad),
    ):
        count = -(-(size + 2 * pad - kernel) // stride) + 1
        padded = p.pad or p.pad_h or p.pad_w
        counts.append(count - 1 if padded and (count - 1) * stride >= size + pad else count)
    layers, source = [made], of.top[0]
    if p.global_pooling or tuple(counts) == after[2:]:
        return without_values(made)
    shape = [*after[:2], *counts]
    source = made.top[0] = draft.between(of, "all", (after[0], after[1], counts[0], counts[1]))
    for axis in (2, 3):
        if counts[axis - 2] == after[axis]:
            continue
        shape[axis] = after[axis]
        done = tuple(shape) == after
        kept = of.top[0] if done else draft.between(of, f"first{axis}", tuple(shape))
        rest = draft.between(of, f"rest{axis}")
        cut = layer(of, "Slice", draft.unique(f"{of.name}_cut{axis}"), [source], [kept, rest])
        cut.slice_param.axis = axis
        cut.slice_param.slice_point.append(after[axis])
        layers += [cut, layer(of, "Silence", draft.unique(f"{of.name}_silence{axis}"), [rest], [])]
        source = kept
    return without_values(*layers)
