"""Convolution, pooling and resizing."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from caffe.export.forms.form import Form, Tensors, form_of, function, module, pair
from caffe.export.graph import Node
from caffe.export.parts import window as parts
from caffe.layers.vision import _pool
from caffe.layers.vision._side_padding import SidePool
from caffe.layers.vision._window import Window


@form_of(
    "Convolution", "DepthwiseConvolution", "ConvolutionDepthwise", "Deconvolution", "DeconvolutionDepthwise"
)
def convolution(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.convolution_param
    window: Window = layer.window
    axes = len(window.kernel)
    if (
        len(node.bottoms) > 1
        or layer.channel_axis != 1
        or not 1 <= axes <= 3
        or len(node.bottom_shapes[0]) != axes + 2
    ):
        return None
    transposed = "Deconvolution" in node.type
    kinds: list[type[nn.Module]] = (
        [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]
        if transposed
        else [nn.Conv1d, nn.Conv2d, nn.Conv3d]
    )
    kwargs: dict[str, Any] = {}
    for key, values, usual in (
        ("stride", window.stride, 1),
        ("padding", window.pad, 0),
        ("dilation", window.dilation, 1),
    ):
        if any(v != usual for v in values):
            kwargs[key] = pair(values)
    if layer.group_count != 1:
        kwargs["groups"] = layer.group_count
    if len(node.params) == 1:
        kwargs["bias"] = False
    channels = node.bottom_shapes[0][1]
    form = module(kinds[axes - 1], channels, node.top_shapes[0][1], pair(window.kernel), **kwargs)
    if layer.sides is not None:
        if p.pad_type == 1 and max(window.stride) > 1:
            return None  # the padding depends on the size
        amounts = [n for side in reversed(layer.sides) for n in side]
        form.before = (lambda x: F.pad(x, amounts), f"F.pad({{x}}, {tuple(amounts)})")
    if p.relu:
        slope = p.negative_slope
        form.after = (
            (lambda y: F.leaky_relu(y, slope), f"F.leaky_relu({{x}}, {slope:g})")
            if slope
            else (F.relu, "F.relu({x})")
        )
    return form


@form_of("Pooling")
def pooling(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.pooling_param
    shape = node.bottom_shapes[0]
    pool: _pool.Pool = layer.pool
    spatial = shape[2:]
    if p.pool == _pool.STOCHASTIC or len(spatial) != 2:
        return None
    sided = isinstance(pool, SidePool)
    whole = pool.kernel == tuple(spatial) and not any(pool.pad)
    if len(node.tops) > 1:
        if sided or not pool.regular(spatial):
            return None
        size, stride, pad = pair(pool.kernel), pair(pool.stride), pair(pool.pad)
        return module(parts.MaxPoolWithMask, size, stride, pad, pool.ceil)
    if p.pool == _pool.MAX:
        if p.global_pooling:
            text = "{0}.amax((2, 3), keepdim=True)"
            return function(
                lambda x: x.amax((2, 3), keepdim=True), text, onnx=lambda x: F.adaptive_max_pool2d(x, 1)
            )
        if not pool.regular(spatial):
            return _padded(pool, spatial, torch.finfo(torch.float32).min)
        return module(nn.MaxPool2d, pair(pool.kernel), pair(pool.stride), **_pads(pool, spatial))
    if p.global_pooling or (whole and layer.counts_padding):
        text = "{0}.mean((2, 3), keepdim=True)"
        return function(
            lambda x: x.mean((2, 3), keepdim=True), text, onnx=lambda x: F.adaptive_avg_pool2d(x, 1)
        )
    kwargs = _pads(pool, spatial)
    if pool.regular(spatial) and layer.counts_padding and not kwargs.get("ceil_mode"):
        return module(nn.AvgPool2d, pair(pool.kernel), pair(pool.stride), **kwargs)
    return _average(pool, spatial, layer.counts_padding)


def _average(pool: _pool.Pool, spatial: tuple[int, ...], count_padding: bool) -> Form:
    """Averages over windows that reach beyond the image, each over as many values as Caffe counts."""
    after = pool.after if isinstance(pool, SidePool) else pool.pad
    counted = []
    for size, kernel, stride, pad, end, count in zip(
        spatial, pool.kernel, pool.stride, pool.pad, after, pool.counts(spatial)
    ):
        starts = [i * stride - pad for i in range(count)]
        most = size + (end if count_padding else 0)
        counted.append([min(s + kernel, most) - (s if count_padding else max(s, 0)) for s in starts])
    return module(parts.AveragePool, pair(pool.kernel), pair(pool.stride), _amounts(pool, spatial), *counted)


def _pads(pool: _pool.Pool, spatial: tuple[int, ...]) -> dict[str, Any]:
    """Padding and ceil_mode, which is only said where it matters."""
    kwargs: dict[str, Any] = {"padding": pair(pool.pad)} if any(pool.pad) else {}
    if (
        any((s + 2 * q - k) % t for s, q, k, t in zip(spatial, pool.pad, pool.kernel, pool.stride))
        and pool.ceil
    ):
        kwargs["ceil_mode"] = True
    return kwargs


def _padded(pool: _pool.Pool, spatial: tuple[int, ...], value: float) -> Form:
    """Windows that torch's own pooling has not: the input is padded to whole ones first."""
    amounts = _amounts(pool, spatial)
    form = module(nn.MaxPool2d, pair(pool.kernel), pair(pool.stride))
    if any(amounts):
        form.before = (
            lambda x: F.pad(x, amounts, value=value),
            f"F.pad({{x}}, {tuple(amounts)}, value={value!r})",
        )
    return form


def _amounts(pool: _pool.Pool, spatial: tuple[int, ...]) -> tuple[int, ...]:
    """The padding that makes every window whole, as F.pad takes it."""
    amounts: list[int] = []
    for size, kernel, stride, pad, count in zip(
        spatial, pool.kernel, pool.stride, pool.pad, pool.counts(spatial)
    ):
        amounts[:0] = [pad, max((count - 1) * stride + kernel - size - pad, 0)]
    return tuple(amounts)


@form_of("Interp")
def interp(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.interp_param
    if p.mode == p.NEAREST or p.pad_beg or p.pad_end:
        return None
    size = tuple(node.top_shapes[0][2:])
    if size == tuple(node.bottom_shapes[0][2:]):
        return function(lambda x: x, "{0}")
    return _bilinear(size)


def _bilinear(size: tuple[int, ...]) -> Form:
    return function(
        lambda x: F.interpolate(x, size=size, mode="bilinear", align_corners=True),
        f"F.interpolate({{0}}, size={size}, mode='bilinear', align_corners=True)",
    )


@form_of("Upsample")
def upsample(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.upsample_param
    if layer.sized:
        return None
    if len(node.bottoms) == 1:
        scale = p.scale if p.HasField("scale") else 1
        return function(
            lambda x: F.interpolate(x, scale_factor=scale, mode="nearest"),
            f"F.interpolate({{0}}, scale_factor={scale}, mode='nearest')",
        )
    return module(parts.Unpool, tuple(node.top_shapes[0][2:]))


@form_of("UpsampleDarknet")
def upsample_darknet(node: Node) -> Form | None:
    scale = node.layer.param.upsample_darknet_param.stride
    if scale <= 1:
        return None
    return function(
        lambda x: F.interpolate(x, scale_factor=scale, mode="nearest"),
        f"F.interpolate({{0}}, scale_factor={scale}, mode='nearest')",
    )


@form_of("Unpooling")
def unpooling(node: Node) -> Form | None:
    p = node.layer.param.unpooling_param
    if p.unpool != p.MAX or len(node.bottoms) < 2:
        return None
    return module(parts.Unpool, tuple(node.top_shapes[0][2:]))


@form_of("Reorg")
def reorg(node: Node) -> Form | None:
    p = node.layer.param.reorg_param
    if p.reverse:
        return None
    return module(parts.Reorg, p.stride)


@form_of("ShuffleChannel")
def shuffle(node: Node) -> Form | None:
    group = node.layer.param.shuffle_channel_param.group
    c = node.bottom_shapes[0][1]
    if group == 1:
        return function(lambda x: x, "{0}")
    return function(
        lambda x: x.unflatten(1, (group, c // group)).transpose(1, 2).flatten(1, 2),
        f"{{0}}.unflatten(1, ({group}, {c // group})).transpose(1, 2).flatten(1, 2)",
    )


@form_of("Crop")
def crop(node: Node) -> Form | None:
    layer: Any = node.layer
    cut: tuple[slice, ...] = layer.cut
    start = next((i for i, s in enumerate(cut) if s != slice(None)), len(cut))
    offsets = [s.start for s in cut[start:]]

    def run(x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        for i, offset in enumerate(offsets, start):
            x = x.narrow(i, offset, reference.shape[i])
        return x

    text = "".join(f".narrow({i}, {offset}, {{1}}.shape[{i}])" for i, offset in enumerate(offsets, start))
    return function(run, "{0}" + text)


@form_of("SPP")
def spp(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.spp_param
    if p.pool != _pool.MAX or not all(regular for _, regular in layer.levels) or len(layer.levels) < 2:
        return None
    levels = tuple((pool.kernel, pool.pad) for pool, _ in layer.levels)
    return module(parts.PyramidPool, levels)


@form_of("InnerProduct")
def inner_product(node: Node) -> Form | None:
    p = node.layer.param.inner_product_param
    axis = node.layer.axis(p.axis, node.bottom_shapes[0])
    inputs = math.prod(node.bottom_shapes[0][axis:])
    if not node.params:
        return None  # the weights are a bottom
    kwargs = {} if len(node.params) > 1 else {"bias": False}
    form = module(nn.Linear, inputs, p.num_output, **kwargs)
    if len(node.bottom_shapes[0]) != axis + 1:
        form.before = (lambda x: x.flatten(axis), f"{{x}}.flatten({axis})")
    if p.transpose:
        form.to_state = form.from_state = _turned
    return form


def _turned(blobs: Tensors) -> Tensors:
    """The weight, which Caffe has as inputs × outputs here, the other way round."""
    return {**blobs, "weight": blobs["weight"].t().contiguous()}


@form_of("Embed")
def embed(node: Node) -> Form | None:
    p = node.layer.param.embed_param
    return module(parts.Embed, p.input_dim, p.num_output, bias=bool(p.bias_term))
