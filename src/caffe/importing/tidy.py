"""What is done to a net after its layers are written: unused ones out, BatchNorm folded, layers in place, names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.proto import caffe_pb2

Array = npt.NDArray[Any]
Blobs = dict[str, list[Array]]

_IN_PLACE = frozenset(
    [
        "ReLU",
        "ReLU6",
        "PReLU",
        "ELU",
        "Sigmoid",
        "TanH",
        "Power",
        "Exp",
        "Log",
        "BNLL",
        "Scale",
        "Bias",
        "BatchNorm",
        "Dropout",
        "Swish",
        "Clip",
        "Mish",
        "HardSigmoid",
        "HardSwish",
    ]
)
_SHARES = frozenset(("Input", "Reshape", "Flatten", "Slice", "Split", "Parameter", "Permute"))
"""Makers of blobs that are left as they are: inputs, and layers whose tops may be their bottoms' memory."""


def drop_unused(net: caffe_pb2.NetParameter, blobs: Blobs, wanted: Iterable[str]) -> None:
    """Take out layers that nothing reads; tops that nothing reads, of layers that stay, go to a Silence."""
    used = set(wanted)
    kept = []
    for layer in reversed(net.layer):
        if layer.type == "Input" or any(t in used for t in layer.top):
            kept.append(layer)
            used.update(layer.bottom)
        else:
            blobs.pop(layer.name, None)
    kept.reverse()
    loose = [t for layer in kept if len(layer.top) > 1 for t in layer.top if t not in used]
    copies = [caffe_pb2.LayerParameter.FromString(layer.SerializeToString()) for layer in kept]
    del net.layer[:]
    net.layer.extend(copies)
    if loose:
        net.layer.add(name="silence", type="Silence", bottom=loose)


def fold_batch_norm(net: caffe_pb2.NetParameter, blobs: Blobs, wanted: Iterable[str]) -> list[str]:
    """Put BatchNorm and Scale layers into the convolution or inner product before them; returns those folded."""
    readers = _readers(net)
    keep = set(wanted)
    makers = {t: layer for layer in net.layer for t in layer.top}
    gone: list[str] = []
    moved: dict[str, str] = {}
    for layer in net.layer:
        if layer.type not in ("BatchNorm", "Scale") or len(layer.bottom) != 1 or layer.name not in blobs:
            continue
        source = moved.get(layer.bottom[0], layer.bottom[0])
        maker = makers.get(source)
        if maker is None or maker.type not in ("Convolution", "Deconvolution", "InnerProduct"):
            continue
        if len(readers[layer.bottom[0]]) != 1 or layer.bottom[0] in keep:
            continue
        if layer.type == "Scale" and (layer.scale_param.axis != 1 or blobs[layer.name][0].ndim != 1):
            continue
        if maker.type == "InnerProduct" and maker.inner_product_param.axis != 1:
            continue
        scale, shift = _affine(layer, blobs[layer.name])
        _absorb(maker, blobs, scale, shift)
        moved[layer.top[0]] = source
        gone.append(layer.name)
    for layer in net.layer:
        for i, bottom in enumerate(layer.bottom):
            layer.bottom[i] = moved.get(bottom, bottom)
    for top, source in moved.items():
        if top in keep:  # the output keeps its name
            makers[source].top[0] = top
            for layer in net.layer:
                for i, bottom in enumerate(layer.bottom):
                    layer.bottom[i] = top if bottom == source else bottom
    left = [layer for layer in net.layer if layer.name not in set(gone)]
    copies = [caffe_pb2.LayerParameter.FromString(layer.SerializeToString()) for layer in left]
    del net.layer[:]
    net.layer.extend(copies)
    for name in gone:
        del blobs[name]
    return gone


def _affine(layer: caffe_pb2.LayerParameter, arrays: list[Array]) -> tuple[Array, Array]:
    """What a BatchNorm or Scale multiplies each channel by, and adds."""
    if layer.type == "Scale":
        scale = arrays[0].astype(np.float64)
        return scale, arrays[1].astype(np.float64) if len(arrays) > 1 else np.zeros_like(scale)
    mean, variance, factor = (a.astype(np.float64) for a in arrays)
    over = 1 / factor[0] if factor[0] else 0.0
    scale = 1 / np.sqrt(variance * over + layer.batch_norm_param.eps)
    return scale, -mean * over * scale


def _absorb(maker: caffe_pb2.LayerParameter, blobs: Blobs, scale: Array, shift: Array) -> None:
    weights: Any = blobs[maker.name][0].astype(np.float64)
    if maker.type == "Deconvolution":
        groups = maker.convolution_param.group
        shape = weights.shape
        grouped = weights.reshape(groups, shape[0] // groups, *shape[1:])
        factors = scale.reshape(groups, 1, shape[1], *(1,) * (len(shape) - 2))
        weights = (grouped * factors).reshape(shape)
    else:
        weights = weights * scale.reshape(-1, *(1,) * (weights.ndim - 1))
    bias: Any = blobs[maker.name][1].astype(np.float64) if len(blobs[maker.name]) > 1 else 0.0
    param: Any = maker.inner_product_param if maker.type == "InnerProduct" else maker.convolution_param
    param.ClearField("bias_term")
    blobs[maker.name] = [weights.astype(np.float32), (bias * scale + shift).astype(np.float32)]


def merge_powers(net: caffe_pb2.NetParameter, wanted: Iterable[str]) -> None:
    """Two Powers in a row, the first linear, as one."""
    keep = set(wanted)
    changed = True
    while changed:
        changed = False
        readers = _readers(net)
        makers = {t: layer for layer in net.layer for t in layer.top}
        for layer in net.layer:
            before = makers.get(layer.bottom[0]) if layer.type == "Power" else None
            if before is None or before.type != "Power" or before.power_param.power != 1:
                continue
            if len(readers[before.top[0]]) != 1 or before.top[0] in keep:
                continue
            a, b = before.power_param, layer.power_param
            scale, shift = b.scale * a.scale, b.shift + b.scale * a.shift
            power = b.power
            layer.power_param.Clear()
            for field, value, default in (
                ("power", power, 1.0),
                ("scale", scale, 1.0),
                ("shift", shift, 0.0),
            ):
                if value != default:
                    setattr(layer.power_param, field, value)
            layer.power_param.SetInParent()
            layer.bottom[0] = before.bottom[0]
            net.layer.remove(before)
            changed = True
            break


def in_place(net: caffe_pb2.NetParameter, wanted: Iterable[str]) -> dict[str, str]:
    """Have layers of single values write over their bottoms where nobody else reads those; returns which blob
    each of the replaced ones is now in.
    """
    keep = set(wanted)
    readers = _readers(net)
    makers = {t: layer for layer in net.layer for t in layer.top}
    now: dict[str, str] = {}
    for layer in net.layer:
        for i, bottom in enumerate(layer.bottom):
            layer.bottom[i] = now.get(bottom, bottom)
        if layer.type not in _IN_PLACE or not layer.bottom:
            continue
        bottom, top = layer.bottom[0], layer.top[0]
        last = _last_name(now, bottom)
        if top in keep or last in keep or len(readers[last]) != 1 or makers[bottom].type in _SHARES:
            continue
        if len(layer.bottom) > 1 and layer.bottom[1] == bottom:
            continue
        now[top] = bottom
        layer.top[0] = bottom
    return now


def _last_name(now: Mapping[str, str], blob: str) -> str:
    """The latest of the blobs that are in this one."""
    last = blob
    for top, place in now.items():
        if place == blob:
            last = top
    return last


def rename(net: caffe_pb2.NetParameter, names: Mapping[str, str]) -> None:
    """Give blobs other names."""
    for layer in net.layer:
        for side in (layer.bottom, layer.top):
            for i, blob in enumerate(side):
                side[i] = names.get(blob, blob)


def _readers(net: caffe_pb2.NetParameter) -> dict[str, list[str]]:
    readers: dict[str, list[str]] = {t: [] for layer in net.layer for t in layer.top}
    for layer in net.layer:
        for bottom in layer.bottom:
            readers.setdefault(bottom, []).append(layer.name)
    return readers
