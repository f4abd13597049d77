"""Shapes, orders of axes, parts of tensors, constants."""

from __future__ import annotations

from typing import Any

import torch

from caffe.importing.graph import Value
from caffe.importing.onnx_ops import A, Call, onnx_op, shape_of


@onnx_op("Constant")
def constant(c: Call) -> Any:
    for name in ("value_float", "value_floats", "value_int", "value_ints"):
        if c.get(name) is not None:
            return torch.tensor(c.get(name))
    return c.get("value")


@onnx_op("ConstantOfShape")
def constant_of_shape(c: Call, shape: Any) -> Any:
    fill = c.get("value", torch.zeros(1))
    sizes = [int(n) for n in c.constant(shape, "the shape").tolist()]
    return torch.full(sizes, fill.item(), dtype=fill.dtype)


@onnx_op("Shape")
def shape(c: Call, x: Any) -> Any:
    return torch.tensor(shape_of(x)[c.get("start", 0) : c.get("end")], dtype=torch.int64)


@onnx_op("Size")
def size(c: Call, x: Any) -> Any:
    return torch.tensor(torch.Size(shape_of(x)).numel())


@onnx_op("Range")
def range_(c: Call, start: Any, limit: Any, delta: Any) -> Any:
    first, last, step = (c.constant(v, "the range").item() for v in (start, limit, delta))
    return torch.arange(first, last, step)


@onnx_op("Reshape")
def reshape(c: Call, x: Any, wanted: Any = None) -> Any:
    sizes = c.ints("shape", wanted, "the shape")
    if sizes is None:
        raise c.refuse("Reshape without a shape")
    if not c.get("allowzero", 0):
        sizes = [shape_of(x)[i] if n == 0 else n for i, n in enumerate(sizes)]
    return c(A.reshape.default, x, sizes)


@onnx_op("Flatten")
def flatten(c: Call, x: Any) -> Any:
    axis = c.get("axis", 1)
    rows = torch.Size(shape_of(x)[:axis]).numel()
    return c(A.reshape.default, x, [rows, -1])


@onnx_op("Squeeze")
def squeeze(c: Call, x: Any, given: Any = None) -> Any:
    axes = c.ints("axes", given)
    return c(A.squeeze.default, x) if axes is None else c(A.squeeze.dims, x, axes)


@onnx_op("Unsqueeze")
def unsqueeze(c: Call, x: Any, given: Any = None) -> Any:
    axes = c.ints("axes", given) or []
    total = len(shape_of(x)) + len(axes)
    for axis in sorted(a % total for a in axes):
        x = c(A.unsqueeze.default, x, axis)
    return x


@onnx_op("Transpose")
def transpose(c: Call, x: Any) -> Any:
    axes = len(shape_of(x))
    return c(A.permute.default, x, c.get("perm", list(range(axes))[::-1]))


@onnx_op("Concat")
def concat(c: Call, *inputs: Any) -> Any:
    return c(A.cat.default, list(inputs), c.get("axis"))


@onnx_op("Split")
def split(c: Call, x: Any, given: Any = None) -> Any:
    axis = c.get("axis", 0)
    sizes = c.ints("split", given)
    if sizes is None:
        part = -(-shape_of(x)[axis] // (c.get("num_outputs") or c.outputs))
        return c(A.split.Tensor, x, part, axis)
    return c(A.split_with_sizes.default, x, sizes, axis)


@onnx_op("Slice")
def slice_(c: Call, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    first, last = c.ints("starts", starts) or [], c.ints("ends", ends) or []
    where = c.ints("axes", axes) or list(range(len(first)))
    by = c.ints("steps", steps) or [1] * len(first)
    for a, b, axis, step in zip(first, last, where, by):
        if step < 0:
            count = shape_of(x)[axis]
            index = torch.arange(count)[slice(None)].tolist()[slice(a, b if b >= -count else None, step)]
            x = c(A.index_select.default, x, axis, torch.tensor(index))
        else:
            x = c(A.slice.Tensor, x, axis, a, b, step)
    return x


@onnx_op("Gather")
def gather(c: Call, x: Any, indices: Any) -> Any:
    axis = c.get("axis", 0) % len(shape_of(x))
    if isinstance(indices, Value):
        if axis == 0 and isinstance(x, torch.Tensor):
            return c(A.embedding.default, x, indices)
        raise c.refuse("indices that the model computes have no form in Caffe")
    if indices.dim() == 0:
        return c(A.select.int, x, axis, int(indices))
    chosen = c(A.index_select.default, x, axis, indices.reshape(-1) % shape_of(x)[axis])
    if indices.dim() == 1:
        return chosen
    sizes = [*shape_of(x)[:axis], *indices.shape, *shape_of(x)[axis + 1 :]]
    return c(A.reshape.default, chosen, sizes)


@onnx_op("Expand")
def expand(c: Call, x: Any, wanted: Any) -> Any:
    sizes = torch.broadcast_shapes(shape_of(x), c.ints("shape", wanted) or [])
    return c(A.expand.default, x, list(sizes))


@onnx_op("Tile")
def tile(c: Call, x: Any, repeats: Any) -> Any:
    return c(A.repeat.default, x, c.ints("repeats", repeats))


@onnx_op("Pad")
def pad(c: Call, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    sides = c.ints("pads", pads) or []
    fill = float(c.get("value", 0.0)) if value is None else float(c.constant(value, "the value"))
    count = len(shape_of(x))
    where = c.ints("axes", axes) or list(range(len(sides) // 2))
    both = {a % count: (sides[i], sides[i + len(where)]) for i, a in enumerate(where)}
    listed = [n for i in reversed(range(count)) for n in both.get(i, (0, 0))]
    mode = c.get("mode", "constant")
    if mode == "constant":
        return c(A.constant_pad_nd.default, x, listed, fill)
    while listed[-2:] == [0, 0]:
        del listed[-2:]
    target = {
        ("reflect", 2): A.reflection_pad1d.default,
        ("reflect", 4): A.reflection_pad2d.default,
        ("edge", 2): A.replication_pad1d.default,
        ("edge", 4): A.replication_pad2d.default,
    }.get((mode, len(listed)))
    if target is None:
        raise c.refuse(f"Pad with mode {mode} over {len(listed) // 2} axes has no form")
    if len(listed) == 2 and count == 4:
        target, listed = (
            (A.reflection_pad2d if mode == "reflect" else A.replication_pad2d).default,
            [*listed, 0, 0],
        )
    return c(target, x, listed)


@onnx_op("DepthToSpace")
def depth_to_space(c: Call, x: Any) -> Any:
    block = c.get("blocksize")
    if c.get("mode", "DCR") == "DCR":
        channels = shape_of(x)[1] // block**2
        order = torch.arange(shape_of(x)[1]).reshape(block * block, channels).t().reshape(-1)
        x = c(A.index_select.default, x, 1, order)
    return c(A.pixel_shuffle.default, x, block)


@onnx_op("SpaceToDepth")
def space_to_depth(c: Call, x: Any) -> Any:
    block = c.get("blocksize")
    channels = shape_of(x)[1]
    unshuffled = c(A.pixel_unshuffle.default, x, block)
    order = torch.arange(channels * block**2).reshape(channels, block * block).t().reshape(-1)
    return c(A.index_select.default, unshuffled, 1, order)
