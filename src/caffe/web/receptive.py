"""Receptive fields: how many pixels of the input, to a side, a value of a blob depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caffe.proto import caffe_pb2

WHOLE = -1
"""Every value depends on the whole input."""
_WINDOWS = {
    "Convolution": "convolution_param",
    "ConvolutionDepthwise": "convolution_param",
    "DepthwiseConvolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "Pooling": "pooling_param",
}
_WHOLE_TYPES = ("InnerProduct", "LSTM", "RNN", "Flatten", "MVN")


@dataclass(frozen=True)
class Field:
    """Height and width of what is seen (``WHOLE`` for all), and the step between neighbours, in input pixels."""

    size: tuple[float, float] = (1, 1)
    step: tuple[float, float] = (1, 1)


def through(param: caffe_pb2.LayerParameter, bottoms: Sequence[Field]) -> Field | None:
    """The field of a layer's tops given those of its bottoms; None without bottoms."""
    if not bottoms:
        return None
    sizes = [[b.size[axis] for b in bottoms] for axis in (0, 1)]
    seen = Field(
        (_most(sizes[0]), _most(sizes[1])),
        (max(b.step[0] for b in bottoms), max(b.step[1] for b in bottoms)),
    )
    if param.type in _WHOLE_TYPES or (param.type == "Pooling" and param.pooling_param.global_pooling):
        return Field((WHOLE, WHOLE), seen.step)
    if param.type not in _WINDOWS:
        return seen
    window = getattr(param, _WINDOWS[param.type])
    size, step = [], []
    for axis, letter in enumerate("hw"):
        kernel = _side(window, "kernel", letter, axis, 1)
        stride = _side(window, "stride", letter, axis, 1)
        dilation = _repeated(getattr(window, "dilation", None), axis, 1)
        reach = dilation * (kernel - 1)
        if param.type == "Deconvolution":
            step.append(seen.step[axis] / stride)
            reach = -(-reach // stride)
        else:
            step.append(seen.step[axis] * stride)
        size.append(WHOLE if seen.size[axis] == WHOLE else seen.size[axis] + reach * seen.step[axis])
    return Field((size[0], size[1]), (step[0], step[1]))


def _most(sizes: Sequence[float]) -> float:
    return WHOLE if WHOLE in sizes else max(sizes)


def _side(window: Any, name: str, letter: str, axis: int, default: int) -> int:
    if window.HasField(f"{name}_{letter}"):
        return int(getattr(window, f"{name}_{letter}"))
    value = getattr(window, "kernel_size" if name == "kernel" else name)
    return int(value) or default if isinstance(value, int) else _repeated(value, axis, default)


def _repeated(values: Any, axis: int, default: int) -> int:
    if not values:
        return default
    if isinstance(values, int):
        return values
    return int(values[min(axis, len(values) - 1)])
