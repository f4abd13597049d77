"""Convolutions, transposed and not, of one to three spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from caffe.importing.emitter import Emitter
from caffe.importing.ops.padding import pad
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule


@rule("conv1d", "conv2d", "conv3d", padded=True)
def conv(
    e: Emitter,
    input: Place,
    weight: Any,
    bias: torch.Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Any = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Place:
    """A convolution, its padding the same on both sides or not."""
    if not isinstance(weight, torch.Tensor):
        raise Inexpressible("the kernels are computed by the net itself")
    axes = weight.dim() - 2
    kernel = tuple(weight.shape[2:])
    strides, dilations = _each(stride, axes), _each(dilation, axes)
    if isinstance(padding, str):
        sides = [(0, 0)] * axes
        if padding == "same":
            totals = [d * (k - 1) for d, k in zip(dilations, kernel)]
            sides = [(t // 2, t - t // 2) for t in totals]
    else:
        sides = [(p, p) for p in _each(padding, axes)]
    input, sides = taken_padding(e, input, sides)
    x = e.plain(input)
    if len(x.shape) != axes + 2:
        raise Inexpressible("the input has no batch axis", fix="Give the module N × C × … inputs")
    weight, pads, extra = symmetrical(weight, sides, dilations)
    for i, (before, after) in enumerate(extra):
        if before or after:
            x = pad(e, x, tuple((before, after) if k == i + 2 else (0, 0) for k in range(len(x.shape))))
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(x.shape[2:], pads, dilations, weight.shape[2:], strides)
    ]
    shape = (x.shape[0], weight.shape[0], *out)
    param = convolution_param(
        weight.shape[0], tuple(weight.shape[2:]), strides, pads, dilations, groups, bias
    )
    place: Place = e.layer(
        "Convolution", [x], shape=shape, blobs=_parameters(weight, bias), convolution_param=param
    )
    return place


@rule("convolution", "_convolution", padded=True)
def convolution(
    e: Emitter,
    input: Place,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    **others: Any,
) -> Place:
    """Either kind."""
    if transposed:
        return transposed_conv(
            e, e.padded(input), weight, bias, stride, padding, output_padding, groups, dilation
        )
    return conv(e, input, weight, bias, stride, padding, dilation, groups)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed_conv(
    e: Emitter,
    input: Place,
    weight: Any,
    bias: torch.Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Place:
    """A transposed convolution. Rows that ``output_padding`` adds come from a kernel with zeros behind."""
    if not isinstance(weight, torch.Tensor):
        raise Inexpressible("the kernels are computed by the net itself")
    axes = weight.dim() - 2
    strides, pads, dilations = _each(stride, axes), _each(padding, axes), _each(dilation, axes)
    more = _each(output_padding, axes)
    wider = [-(-m // d) for m, d in zip(more, dilations)]
    weight = F.pad(weight, [n for w in reversed(wider) for n in (0, w)])
    x = e.plain(input)
    out = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip(x.shape[2:], strides, pads, dilations, weight.shape[2:])
    ]
    channels = weight.shape[1] * groups
    param = convolution_param(channels, tuple(weight.shape[2:]), strides, pads, dilations, groups, bias)
    shape = (x.shape[0], channels, *out)
    place: Place = e.layer(
        "Deconvolution", [x], shape=shape, blobs=_parameters(weight, bias), convolution_param=param
    )
    for i, (w, m, d) in enumerate(zip(wider, more, dilations)):
        place = e.cut(place, i + 2, 0, place.shape[i + 2] - (w * d - m))
    return place


def taken_padding(
    e: Emitter, place: Place, sides: Sequence[tuple[int, int]], value: float = 0.0
) -> tuple[Place, list[tuple[int, int]]]:
    """A value without its padding along the spatial axes, and that added to a layer's own."""
    if not place.pads:
        return place, list(sides)
    if place.fill != value or any(p != (0, 0) for p in place.pads[:2]) or min(map(min, place.pads)) < 0:
        return e.padded(place), list(sides)
    total = [(a + b, c + d) for (a, c), (b, d) in zip(sides, place.pads[2:])]
    shape = tuple(n - sum(p) for n, p in zip(place.shape, place.pads))
    return place.put(place.blob, pads=(), fill=0.0, shape=shape), total


def symmetrical(
    weight: torch.Tensor, sides: Sequence[tuple[int, int]], dilations: Sequence[int]
) -> tuple[torch.Tensor, list[int], list[tuple[int, int]]]:
    """Kernels with zeros around them such that one padding does for both sides; where dilation forbids it, what
    has to be padded before.
    """
    zeros, pads, extra = [], [], []
    for (before, after), d in zip(sides, dilations):
        widest = max(before, after)
        if (widest - before) % d == 0 and (widest - after) % d == 0:
            zeros.append(((widest - before) // d, (widest - after) // d))
            pads.append(widest)
            extra.append((0, 0))
        else:
            zeros.append((0, 0))
            pads.append(min(before, after))
            extra.append((before - pads[-1], after - pads[-1]))
    if any(z != (0, 0) for z in zeros):
        weight = F.pad(weight, [n for z in reversed(zeros) for n in z])
    return weight, pads, extra


def convolution_param(
    channels: int,
    kernel: tuple[int, ...],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    bias: Any,
) -> dict[str, Any]:
    """The message, in the short form where the axes are alike."""
    param: dict[str, Any] = {"num_output": channels}
    if bias is None:
        param["bias_term"] = False
    if groups != 1:
        param["group"] = groups
    alike = len(set(kernel)) == len(set(strides)) == len(set(pads)) == 1
    if alike or len(kernel) != 2:
        fields: tuple[tuple[str, Sequence[int], int], ...]
        fields = (("kernel_size", kernel, -1), ("stride", strides, 1), ("pad", pads, 0))
        for name, values, default in fields:
            if any(v != default for v in values):
                param[name] = [values[0]] if len(set(values)) == 1 else list(values)
    else:
        param.update(kernel_h=kernel[0], kernel_w=kernel[1], stride_h=strides[0], stride_w=strides[1])
        if any(pads):
            param.update(pad_h=pads[0], pad_w=pads[1])
    if any(d != 1 for d in dilations):
        param["dilation"] = [dilations[0]] if len(set(dilations)) == 1 else list(dilations)
    return param


def _parameters(weight: torch.Tensor, bias: torch.Tensor | None) -> list[torch.Tensor]:
    return [weight] if bias is None else [weight, bias]


def _each(values: Any, axes: int) -> list[int]:
    numbers = [values] if isinstance(values, int) else [int(v) for v in values]
    return numbers * axes if len(numbers) == 1 else numbers
