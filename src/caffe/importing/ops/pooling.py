"""Pooling. Caffe rounds the number of windows up, PyTorch down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from caffe.importing.emitter import Emitter
from caffe.importing.ops.convolutions import taken_padding
from caffe.importing.ops.padding import pad as padded_by
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule

Pair = tuple[int, int]


@rule("max_pool2d", "max_pool2d_with_indices", padded=True)
def max_pool2d(
    e: Emitter,
    input: Place,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Any:
    """The largest value of each window. (Where the largest was is not given.)"""
    if any(d != 1 for d in _pair(dilation)):
        raise Inexpressible("pooling windows with gaps have no form", fix="Use a convolution or dilation 1")
    sides = [(p, p) for p in _pair(padding)]
    if input.pads and input.fill == float("-inf"):
        input, sides = taken_padding(e, input, sides, float("-inf"))
    x = e.plain(input)
    kernel = _pair(kernel_size)
    place = _windows(e, x, "MAX", kernel, _pair(stride or kernel_size), sides, ceil_mode)
    return [place, None]


@rule("max_pool1d", "max_pool1d_with_indices", padded=True)
def max_pool1d(
    e: Emitter,
    input: Place,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Place:
    """The same along one axis."""
    place = _as_image(e, e.padded(input))
    one = [1, kernel_size[0]], [1, (stride or kernel_size)[0]], [0, padding[0]], [1, dilation[0]]
    return _as_line(e, max_pool2d(e, place, *one, ceil_mode=ceil_mode)[0])


@rule("avg_pool1d")
def avg_pool1d(
    e: Emitter,
    input: Place,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Place:
    """The mean along one axis."""
    place = _as_image(e, input)
    one = [1, kernel_size[0]], [1, (stride or kernel_size)[0]], [0, padding[0]]
    return _as_line(e, avg_pool2d(e, place, *one, ceil_mode=ceil_mode, count_include_pad=count_include_pad))


@rule("avg_pool2d", padded=True)
def avg_pool2d(
    e: Emitter,
    input: Place,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Place:
    """The mean of each window."""
    kernel, strides, pads = _pair(kernel_size), _pair(stride or kernel_size), _pair(padding)
    sides = [(p, p) for p in pads]
    counted = input.shape[2:]
    if not any(pads):
        # zeros before a pooling without padding of its own count as values
        input, sides = taken_padding(e, input, sides)
    x = e.plain(input)
    place = _windows(e, x, "AVE", kernel, strides, sides, ceil_mode)
    # what PyTorch divides by, over what Caffe divides by
    wanted = F.avg_pool2d(
        torch.ones(1, 1, *counted, dtype=torch.float64),
        kernel,
        strides,
        pads,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )
    got = _means_of_ones(x.shape[2:], kernel, strides, sides, tuple(wanted.shape[2:]))
    inner = torch.tensor(1.0)
    if any(map(any, sides)) and not any(pads):
        border = torch.ones(1, 1, *x.shape[2:], dtype=torch.float64)
        border = F.pad(border, [sides[1][0], sides[1][1], sides[0][0], sides[0][1]])
        wanted = F.avg_pool2d(border, kernel, strides, 0, ceil_mode, True, divisor_override)
    factor = (wanted[0, 0] / got).float() * inner
    if torch.allclose(factor, torch.ones_like(factor), rtol=1e-7, atol=0):
        return place
    e.notes.append(f"{place.blob}: means corrected at the border, where Caffe counts the padding")
    if torch.allclose(factor, factor[0, 0].expand_as(factor), rtol=1e-7, atol=0):
        return e.power(place, scale=float(factor[0, 0]), suffix="divisor")
    return e.each(place, "Scale", suffix="divisors", blobs=[factor], scale_param={"axis": 2, "num_axes": 2})


def _means_of_ones(
    size: Sequence[int], kernel: Pair, strides: Pair, sides: Sequence[Pair], out: Sequence[int]
) -> torch.Tensor:
    """Caffe's mean of an image of ones: windows reach to size + pad, no farther, and that is their count."""
    shares = []
    for n, k, s, (before, _), count in zip(size, kernel, strides, sides, out):
        row = []
        for i in range(count):
            start = i * s - before
            stop = min(start + k, n + before)
            row.append((min(stop, n) - max(start, 0), stop - start))
        shares.append(torch.tensor(row, dtype=torch.float64))
    rows, columns = shares
    return (rows[:, :1] * columns[:, 0]) / (rows[:, 1:] * columns[:, 1])


def _windows(
    e: Emitter, x: Place, method: str, kernel: Pair, strides: Pair, sides: Sequence[Pair], ceil: bool
) -> Place:
    """A Pooling layer with PyTorch's number of windows; those that Caffe has more are cut off."""
    size = x.shape[2:]
    wanted = tuple(_count(n, k, s, side, ceil) for n, k, s, side in zip(size, kernel, strides, sides))
    pads = [before for before, _ in sides]
    if any(p >= k for p, k in zip(pads, kernel)):
        x = padded_by(e, x, ((0, 0), (0, 0), *sides))
        return _windows(e, x, method, kernel, strides, [(0, 0), (0, 0)], ceil)
    param: dict[str, Any] = {"pool": method}
    whole = tuple(kernel) == tuple(size) and not any(pads) and wanted == (1, 1)
    if whole:
        param["global_pooling"] = True
    elif len(set(kernel)) == len(set(strides)) == len(set(pads)) == 1:
        param.update(kernel_size=kernel[0], stride=strides[0])
        if pads[0]:
            param["pad"] = pads[0]
    else:
        param.update(kernel_h=kernel[0], kernel_w=kernel[1], stride_h=strides[0], stride_w=strides[1])
        if any(pads):
            param.update(pad_h=pads[0], pad_w=pads[1])
    up = (
        (1, 1)
        if whole
        else tuple(_caffe(n, k, s, p, any(pads)) for n, k, s, p in zip(size, kernel, strides, pads))
    )
    down = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, strides, pads))
    got = up
    if up != wanted and down == wanted:
        for name, value in (("round_mode", "FLOOR"), ("ceil_mode", False)):
            if e.dialect.takes("Pooling", f"pooling_param.{name}"):
                param[name], got = value, down
                break
    if any(g < w for g, w in zip(got, wanted)):
        # the padding behind is wider than that before: more rows, then windows without padding
        if method == "MAX":
            raise Inexpressible(f"max pooling with padding {list(sides)} has no form")
        x = padded_by(e, x, ((0, 0), (0, 0), *sides))
        return _windows(e, x, method, kernel, strides, [(0, 0), (0, 0)], ceil)
    top: Place = e.layer("Pooling", [x], shape=(*x.shape[:2], *got), pooling_param=param)
    if got != wanted:
        e.notes.append(
            f"{top.blob}: Caffe has {list(got)} windows, {list(wanted)} are wanted: the last are cut off"
        )
    for i, count in enumerate(wanted, 2):
        top = e.cut(top, i, 0, count)
    return top


def _count(size: int, kernel: int, stride: int, sides: Pair, ceil: bool) -> int:
    before, after = sides
    room = size + before + after - kernel
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


def _caffe(size: int, kernel: int, stride: int, pad: int, padded: bool) -> int:
    count = -(-(size + 2 * pad - kernel) // stride) + 1
    return count - 1 if padded and (count - 1) * stride >= size + pad else count


@rule("adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def adaptive_avg_pool2d(e: Emitter, input: Place, output_size: Sequence[int]) -> Place:
    """Means of as many windows as are asked for."""
    out = _pair(output_size)
    x = e.plain(input)
    size = x.shape[2:]
    if out == size:
        return x
    if all(n % o == 0 for n, o in zip(size, out)):
        kernel = (size[0] // out[0], size[1] // out[1])
        return _windows(e, x, "AVE", kernel, kernel, [(0, 0), (0, 0)], False)
    if all(o % n == 0 for n, o in zip(size, out)):
        from caffe.importing.ops.resizing import nearest

        return nearest(e, x, out)
    from caffe.importing.ops.resizing import along_axes

    matrices = [F.adaptive_avg_pool1d(torch.eye(n).unsqueeze(0), o)[0].t() for n, o in zip(size, out)]
    return along_axes(e, x, matrices)


@rule("adaptive_avg_pool1d")
def adaptive_avg_pool1d(e: Emitter, input: Place, output_size: Sequence[int]) -> Place:
    """The same along one axis."""
    return _as_line(e, adaptive_avg_pool2d(e, _as_image(e, input), [1, output_size[0]]))


@rule("adaptive_max_pool2d")
def adaptive_max_pool2d(e: Emitter, input: Place, output_size: Sequence[int]) -> Any:
    """The largest of each of as many windows as are asked for."""
    out = _pair(output_size)
    x = e.plain(input)
    if any(n % o for n, o in zip(x.shape[2:], out)):
        raise Inexpressible(f"windows of different sizes ({list(x.shape[2:])} to {list(out)}) have no form")
    kernel = (x.shape[2] // out[0], x.shape[3] // out[1])
    return [_windows(e, x, "MAX", kernel, kernel, [(0, 0), (0, 0)], False), None]


@rule("adaptive_max_pool1d")
def adaptive_max_pool1d(e: Emitter, input: Place, output_size: Sequence[int]) -> Any:
    """The same along one axis."""
    return [_as_line(e, adaptive_max_pool2d(e, _as_image(e, input), [1, output_size[0]])[0]), None]


def _as_image(e: Emitter, x: Place) -> Place:
    x = e.plain(x)
    shape = (x.shape[0], x.shape[1], 1, x.shape[2])
    return Place.of(e.reshaped(x, shape).blob, shape)


def _as_line(e: Emitter, x: Place) -> Place:
    shape = (x.shape[0], x.shape[1], x.shape[3])
    return Place.of(e.reshaped(e.plain(x), shape).blob, shape)


def _pair(values: Any) -> Pair:
    numbers = [values] if isinstance(values, int) else [int(v) for v in values]
    return (numbers[0], numbers[-1])
