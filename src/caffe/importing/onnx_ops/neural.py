"""Convolutions, pooling, normalizations, recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.importing.graph import Value
from caffe.importing.onnx_ops import A, Call, onnx_op, same_pads, shape_of
from caffe.importing.patterns import LOCAL_RESPONSE_NORM


def _windows(c: Call, x: Any, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations, and paddings before and behind."""
    axes = len(kernel)
    strides, dilations = c.get("strides", [1] * axes), c.get("dilations", [1] * axes)
    auto = c.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        pads = same_pads(shape_of(x)[2:], kernel, strides, dilations, auto == "SAME_UPPER")
    else:
        pads = [0] * 2 * axes if auto == "VALID" else c.get("pads", [0] * 2 * axes)
    return strides, dilations, pads


def _padded(c: Call, x: Any, pads: Sequence[int], fill: float) -> tuple[Any, list[int]]:
    """The value padded where the sides differ, and the padding that is left for the layer."""
    axes = len(pads) // 2
    if pads[:axes] == pads[axes:]:
        return x, list(pads[:axes])
    sides = [n for i in reversed(range(axes)) for n in (pads[i], pads[axes + i])]
    return c(A.constant_pad_nd.default, x, sides, fill), [0] * axes


@onnx_op("Conv")
def conv(c: Call, x: Any, weight: Any, bias: Any = None) -> Any:
    kernel = list(shape_of(weight)[2:])
    strides, dilations, pads = _windows(c, x, kernel)
    x, padding = _padded(c, x, pads, 0.0)
    target = {1: A.conv1d.default, 2: A.conv2d.default, 3: A.conv3d.default}[len(kernel)]
    return c(target, x, weight, bias, strides, padding, dilations, c.get("group", 1))


@onnx_op("ConvTranspose")
def conv_transpose(c: Call, x: Any, weight: Any, bias: Any = None) -> Any:
    kernel = list(shape_of(weight)[2:])
    axes = len(kernel)
    strides, dilations = c.get("strides", [1] * axes), c.get("dilations", [1] * axes)
    more, group = c.get("output_padding", [0] * axes), c.get("group", 1)
    pads = c.get("pads", [0] * 2 * axes)
    size = shape_of(x)[2:]
    wanted, auto = c.get("output_shape"), c.get("auto_pad", "NOTSET")
    if wanted is None and auto.startswith("SAME"):
        wanted = [n * s for n, s in zip(size, strides)]
    if wanted is not None:
        totals = [
            s * (n - 1) + m + d * (k - 1) + 1 - w
            for s, n, m, d, k, w in zip(strides, size, more, dilations, kernel, wanted[-axes:])
        ]
        begin = [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in totals]
        pads = begin + [t - b for t, b in zip(totals, begin)]
    before, behind = pads[:axes], pads[axes:]
    target = {1: A.conv_transpose1d.default, 2: A.conv_transpose2d.input, 3: A.conv_transpose3d.input}[axes]
    least = [min(a, b) for a, b in zip(before, behind)]
    y = c(target, x, weight, bias, strides, least, more, group, dilations)
    for i, (a, b, m) in enumerate(zip(before, behind, least)):
        if a > m or b > m:
            y = c(A.slice.Tensor, y, i + 2, a - m, shape_of(y)[i + 2] - (b - m))
    return y


@onnx_op("MaxPool")
def max_pool(c: Call, x: Any) -> Any:
    kernel = c.get("kernel_shape")
    strides, dilations, pads = _windows(c, x, kernel)
    if c.outputs > 1:
        raise c.refuse("MaxPool's second output, the places of the largest values, has no form in Caffe")
    ceil = bool(c.get("ceil_mode", 0))
    x, padding = _padded(c, x, pads, float("-inf"))
    target = {1: A.max_pool1d.default, 2: A.max_pool2d.default, 3: A.max_pool3d.default}[len(kernel)]
    return c(target, x, kernel, strides, padding, dilations, ceil)


@onnx_op("AveragePool")
def average_pool(c: Call, x: Any) -> Any:
    kernel = c.get("kernel_shape")
    strides, _, pads = _windows(c, x, kernel)
    counted = bool(c.get("count_include_pad", 0))
    axes = len(kernel)
    if pads[:axes] != pads[axes:] and not counted:
        # the mean without the padding: the sum's mean, over the mean of ones
        ones = torch.ones(1, 1, *shape_of(x)[2:])
        sides = [n for i in reversed(range(axes)) for n in (pads[i], pads[axes + i])]
        share = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(ones, sides), kernel, strides)
        x = c(A.constant_pad_nd.default, x, sides, 0.0)
        return c(A.mul.Tensor, c(A.avg_pool2d.default, x, kernel, strides), 1 / share)
    x, padding = _padded(c, x, pads, 0.0)
    target = {1: A.avg_pool1d.default, 2: A.avg_pool2d.default, 3: A.avg_pool3d.default}[axes]
    return c(target, x, kernel, strides, padding, bool(c.get("ceil_mode", 0)), counted)


@onnx_op("GlobalAveragePool")
def global_average_pool(c: Call, x: Any) -> Any:
    return c(A.mean.dim, x, list(range(2, len(shape_of(x)))), True)


@onnx_op("GlobalMaxPool")
def global_max_pool(c: Call, x: Any) -> Any:
    return c(A.amax.default, x, list(range(2, len(shape_of(x)))), True)


@onnx_op("BatchNormalization")
def batch_normalization(c: Call, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    if c.get("training_mode", 0):
        raise c.refuse("BatchNormalization in training mode: export the model in evaluation mode")
    return c(A.batch_norm.default, x, scale, bias, mean, variance, False, 0.0, c.get("epsilon", 1e-5), False)


@onnx_op("InstanceNormalization")
def instance_normalization(c: Call, x: Any, scale: Any, bias: Any) -> Any:
    groups = shape_of(x)[1]
    return c(A.group_norm.default, x, groups, scale, bias, c.get("epsilon", 1e-5), False)


@onnx_op("GroupNormalization")
def group_normalization(c: Call, x: Any, scale: Any, bias: Any) -> Any:
    groups, channels = c.get("num_groups"), shape_of(x)[1]
    if len(scale) != channels:  # opset 18 has one a group
        scale, bias = (t.repeat_interleave(channels // groups) for t in (scale, bias))
    return c(A.group_norm.default, x, groups, scale, bias, c.get("epsilon", 1e-5), False)


@onnx_op("LayerNormalization")
def layer_normalization(c: Call, x: Any, scale: Any, bias: Any = None) -> Any:
    axis = c.get("axis", -1) % len(shape_of(x))
    return c(A.layer_norm.default, x, list(shape_of(x)[axis:]), scale, bias, c.get("epsilon", 1e-5), False)


@onnx_op("LRN")
def lrn(c: Call, x: Any) -> Any:
    """As PyTorch writes it out: the mean of squares over channels, by a pooling."""
    size, alpha, beta, k = c.get("size"), c.get("alpha", 1e-4), c.get("beta", 0.75), c.get("bias", 1.0)
    return c(LOCAL_RESPONSE_NORM, x, size, alpha, beta, k)


def _directions(
    c: Call, inputs: Sequence[Any], gates: Sequence[int], what: str
) -> tuple[list[torch.Tensor], int]:
    """PyTorch's list of parameters, from ONNX's stacked ones, gates in PyTorch's order."""
    w, r, b = inputs
    hidden = c.get("hidden_size")
    turn = torch.cat([torch.arange(g * hidden, (g + 1) * hidden) for g in gates])
    weights = []
    for d in range(shape_of(w)[0]):
        n = len(gates) * hidden
        bias = torch.zeros(2 * n) if b is None else b[d]
        weights += [w[d][turn], r[d][turn], bias[:n][turn], bias[n:][turn]]
    return weights, hidden


def _sequence(c: Call, y: Any, hidden: int, directions: int) -> Any:
    """T × N × D·H as ONNX's T × D × N × H."""
    apart = c(A.view.default, y, [*shape_of(y)[:2], directions, hidden])
    return c(A.permute.default, apart, [0, 2, 1, 3])


def _recurrent(
    c: Call,
    target: Any,
    x: Any,
    params: list[torch.Tensor],
    hidden: int,
    states: int,
    lengths: Any,
    initial: Sequence[Any],
) -> Any:
    direction = c.get("direction", "forward")
    if (isinstance(lengths, torch.Tensor) and bool((lengths != shape_of(x)[0]).any())) or isinstance(
        lengths, Value
    ):
        raise c.refuse("sequences of different lengths have no form here")
    directions = 2 if direction == "bidirectional" else 1
    steps, batch = shape_of(x)[:2]
    if direction == "reverse":
        x = c(A.flip.default, x, [0])
    zero = torch.zeros(directions, batch, hidden)
    like = (
        torch.empty(steps, batch, directions * hidden, device="meta"),
        *[torch.empty(directions, batch, hidden, device="meta")] * states,
    )
    given = [zero if state is None else state for state in initial]
    first = given if states == 2 else given[0]
    y, *last = c(target, x, first, params, True, 1, 0.0, False, directions == 2, False, like=like)
    if direction == "reverse":
        y = c(A.flip.default, y, [0])
    return [_sequence(c, y, hidden, directions), *last]


@onnx_op("LSTM")
def lstm(
    c: Call,
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    lengths: Any = None,
    h: Any = None,
    s: Any = None,
    p: Any = None,
) -> Any:
    if (
        c.get("activations") not in (None, ["Sigmoid", "Tanh", "Tanh"] * (len(w)))
        or p is not None
        or c.get("input_forget")
    ):
        raise c.refuse("only the plain LSTM has a form")
    params, hidden = _directions(c, (w, r, b), (0, 2, 3, 1), "LSTM")  # i, o, f, g to i, f, g, o
    return _recurrent(c, A.lstm.input, x, params, hidden, 2, lengths, (h, s))


@onnx_op("GRU")
def gru(c: Call, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None) -> Any:
    if not c.get("linear_before_reset", 0):
        raise c.refuse("GRU with linear_before_reset 0 has no form")
    params, hidden = _directions(c, (w, r, b), (1, 0, 2), "GRU")  # z, r, n to r, z, n
    return _recurrent(c, A.gru.input, x, params, hidden, 1, lengths, (h,))


def _resize(c: Call, x: Any, scales: Any, sizes: Any, mode: str) -> Any:
    shape = shape_of(x)
    if len(shape) != 4:
        raise c.refuse(f"Resize of {len(shape)} axes has no form here")
    factors = None
    if sizes is not None:
        out = [int(n) for n in c.constant(sizes, "the size").tolist()]
        if c.get("axes") is not None:
            out = [
                next((o for a, o in zip(c.get("axes"), out) if a % 4 == i), n) for i, n in enumerate(shape)
            ]
    else:
        given = [float(s) for s in c.constant(scales, "the scale").tolist()]
        if c.get("axes") is not None:
            given = [next((g for a, g in zip(c.get("axes"), given) if a % 4 == i), 1.0) for i in range(4)]
        out = [int(n * s) for n, s in zip(shape, given)]
        factors = given[2:]
    if out[:2] != list(shape[:2]):
        raise c.refuse("Resize of batch or channels has no form here")
    how = c.get("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        rounding = c.get("nearest_mode", "round_prefer_floor")
        whole = all(o % n == 0 for o, n in zip(out[2:], shape[2:]))
        if not (how == "asymmetric" and rounding == "floor") and not whole:
            if how == "half_pixel":
                return c(A._upsample_nearest_exact2d.default, x, out[2:])
            raise c.refuse(f"Resize nearest with {how}, {rounding} has no form here")
        if whole and how == "asymmetric" and rounding != "floor":
            raise c.refuse(f"Resize nearest with {how}, {rounding} has no form here")
        return c(A.upsample_nearest2d.default, x, out[2:], *(factors or (None, None)))
    if how not in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
        raise c.refuse(f"Resize with {how} has no form here")
    if how == "asymmetric":
        raise c.refuse("Resize linear with asymmetric coordinates has no form here")
    aligned = how == "align_corners"
    if mode == "cubic":
        return c(A.upsample_bicubic2d.default, x, out[2:], aligned, *(factors or (None, None)))
    return c(A.upsample_bilinear2d.default, x, out[2:], aligned, *(factors or (None, None)))


@onnx_op("Resize")
def resize(c: Call, x: Any, *inputs: Any) -> Any:
    mode = c.get("mode", "nearest")
    if c.opset < 11:
        c.attributes.setdefault("coordinate_transformation_mode", "asymmetric")
        c.attributes.setdefault("nearest_mode", "floor")
        return _resize(c, x, inputs[0], None, mode)
    _, scales, sizes = (*inputs, None, None, None)[:3]
    if scales is not None and scales.numel() == 0:
        scales = None
    return _resize(c, x, scales, sizes, mode)


@onnx_op("Upsample")
def upsample(c: Call, x: Any, scales: Any = None) -> Any:
    c.attributes.setdefault("coordinate_transformation_mode", "asymmetric")
    c.attributes.setdefault("nearest_mode", "floor")
    given = scales if scales is not None else torch.tensor(c.get("scales"))
    return _resize(c, x, given, None, c.get("mode", "nearest"))
