"""Coordinate maps between tops of a NetSpec, and the Crop layers that line them up.

A map (axis, a, b) says that position x of one top lies at position a·x + b of another, on the axes after
``axis`` (None where every axis will do); a and b hold a value an axis. See Long, Shelhamer & Darrell 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.errors import NetError
from caffe.net_spec import Function, Top, layer_function

Scale = npt.NDArray[Any] | float
Map = tuple[int | None, Scale, Scale]

PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Clip", "Dropout", "Eltwise", "ELU", "Exp", "Log", "LRN", "MVN",
    "Power", "PReLU", "ReLU", "Scale", "Sigmoid", "Split", "Swish", "TanH", "Threshold",
]  # fmt: skip
"""Types whose tops lie where their bottoms lie."""

_SLIDING = ("Convolution", "Pooling", "Im2col")


class UndefinedMapException(NetError):
    """A layer whose tops' positions are no affine function of its bottoms' (InnerProduct and the like)."""


class AxisMismatchException(NetError):
    """Maps over different axes, which cannot be composed."""


class UnconnectedException(NetError, RuntimeError):
    """Tops that no spatial layers connect."""


class CropException(NetError, AssertionError):
    """A top that cannot be cropped to another."""


def _params(fn: Function, name: str) -> dict[str, Any]:
    return {**fn.params, **fn.params.get(name, {})}


def _each_axis(params: dict[str, Any], name: str, default: int, h: str, w: str) -> npt.NDArray[Any]:
    if h in params or w in params:
        return np.array([params.get(h, default), params.get(w, default)])
    return np.array(params.get(name, default), ndmin=1)


def conv_params(fn: Function) -> tuple[int, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """(axis, stride, kernel size with dilation, pad) of a convolution or pooling."""
    params = _params(fn, "pooling_param" if fn.type_name == "Pooling" else "convolution_param")
    if params.get("global_pooling"):
        raise UndefinedMapException("has no coordinate map with global_pooling", type=fn.type_name)
    if not {"kernel_size", "kernel_h", "kernel_w"} & set(params):
        raise NetError("must have a kernel_size", type=fn.type_name, field="kernel_size")
    kernel = _each_axis(params, "kernel_size", 1, "kernel_h", "kernel_w")
    dilation = np.array(params.get("dilation", params.get("hole", 1)), ndmin=1)
    stride = _each_axis(params, "stride", 1, "stride_h", "stride_w")
    pad = _each_axis(params, "pad", 0, "pad_h", "pad_w")
    return int(params.get("axis", 1)), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, npt.NDArray[Any]]:
    """(axis, offset) of a Crop."""
    params = _params(fn, "crop_param")
    return int(params.get("axis", 2)), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """The map from a layer's bottom to its top. Raises UndefinedMapException."""
    if fn.type_name in _SLIDING:
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return None, 1, 0
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException("has no coordinate map", type=fn.type_name)


def compose(base_map: Map, next_map: Map) -> Map:
    """The map that is ``next_map`` followed by ``base_map``. Raises AxisMismatchException."""
    axis, a, b = base_map
    next_axis, next_a, next_b = next_map
    if axis is None:
        axis = next_axis
    elif next_axis is not None and axis != next_axis:
        raise AxisMismatchException(f"Maps must be over the same axes; got axis {axis} and axis {next_axis}")
    return axis, a * next_a, a * next_b + b


def inverse(coord_map: Map) -> Map:
    """The map in the other direction."""
    axis, a, b = coord_map
    return axis, 1 / a, -b / a


def _walk(top: Top, found: dict[Top, Map], frontier: list[Top]) -> None:
    try:
        step = coord_map(top.fn)
    except UndefinedMapException:
        return
    bottoms = top.fn.inputs[:1] if top.fn.type_name == "Crop" else top.fn.inputs
    for bottom in bottoms:
        found[bottom] = compose(found[top], step)
        frontier.append(bottom)


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from ``top_from`` to ``top_to``: both are followed back to where they meet.

    Raises UnconnectedException (a RuntimeError) where they do not, AxisMismatchException.
    """
    from_maps: dict[Top, Map] = {top_from: (None, 1, 0)}
    frontier = [top_from]
    while frontier:
        _walk(frontier.pop(), from_maps, frontier)
    to_maps: dict[Top, Map] = {top_to: (None, 1, 0)}
    frontier = [top_to]
    while frontier:
        top = frontier.pop()
        if top in from_maps:
            return compose(to_maps[top], inverse(from_maps[top]))
        _walk(top, to_maps, frontier)
    raise UnconnectedException(
        f"The tops of {top_from.fn.type_name} and {top_to.fn.type_name} must be connected by layers that "
        "keep positions; they are not",
        fix=f"Layers that do: {', '.join([*_SLIDING, 'Deconvolution', 'Crop', *PASS_THROUGH_LAYERS])}",
    )


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts ``top_from`` to the part that lies over ``top_to``.

    Raises CropException (an AssertionError) where scales differ, or the offset is negative or no integer.
    """
    axis, a, b = coord_map_from_to(top_from, top_to)
    scale, offset = np.asarray(a), -np.asarray(b)
    if not (scale == 1).all():
        raise CropException(f"Tops to crop must have the same scale; got {scale.tolist()} between them")
    if (offset < 0).any():
        raise CropException(f"A crop's offset must be at least 0; got {offset.tolist()}")
    if (np.round(offset) != offset).any():
        raise CropException(f"A crop's offset must be an integer; got {offset.tolist()}")
    offsets = np.atleast_1d(offset).astype(int).tolist()
    param = {"axis": 2 if axis is None else axis + 1, "offset": offsets}
    top: Top = layer_function("Crop")(top_from, top_to, crop_param=param)
    return top
