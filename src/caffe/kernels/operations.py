"""The kernels as operations of torch, which compiled graphs hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.kernels import chain as chain_kernels
from caffe.kernels import image as image_kernels
from caffe.kernels import native, pointwise, winograd
from caffe.kernels import separable as separable_kernels

Tensors = Sequence[torch.Tensor]
Numbers = Sequence[int]


def convolutions(
    x: Tensors, kernels: Tensors, bias: Tensors, sizes: Numbers, pads: Numbers, relu: Sequence[bool]
) -> torch.Tensor:
    """Convolutions of stride 1 side by side: their outputs joined along channels, in channels_last.

    Of each: x (N × C × H × W, float32), the kernels as :mod:`.winograd` (sizes 3 and 5) or :mod:`.panels` (1) packs
    them, the bias (outputs), the kernels' size, the pad, whether a ReLU is behind it.
    """
    y: torch.Tensor = torch.ops.caffe.convolutions(x, kernels, bias, sizes, pads, relu)
    return y


def separable(
    x: torch.Tensor, params: Tensors, size: int, stride: int, pad: int, relu: Sequence[bool]
) -> torch.Tensor:
    """A depthwise convolution and the 1×1 convolution behind it, in channels_last.

    x (N × C × H × W, float32); ``params``: the depthwise kernels as :mod:`.separable` packs them, their bias (C), the
    others as :mod:`.panels` packs them, their bias (outputs). ``relu``: whether one is behind the first, the second.
    """
    y: torch.Tensor = torch.ops.caffe.separable(x, params, size, stride, pad, relu)
    return y


def image(
    x: torch.Tensor, kernels: torch.Tensor, bias: torch.Tensor, size: int, stride: int, pad: int, relu: bool
) -> torch.Tensor:
    """A convolution of few channels: x (N × C × H × W, float32, best in that order) to channels_last.

    ``kernels`` as :mod:`.panels` packs them, bias (outputs); ``relu``: whether one is behind it.
    """
    y: torch.Tensor = torch.ops.caffe.image(x, kernels, bias, size, stride, pad, relu)
    return y


def chain(
    x: torch.Tensor, params: Tensors, windows: Numbers, relu: Sequence[bool], of_image: bool
) -> torch.Tensor:
    """What :func:`separable` makes one after the other, the first of :func:`image`'s output with ``of_image``.

    x (N × C × H × W, float32); ``params``: all of theirs; ``windows``: size, stride and pad of each; ``relu``: two for
    each, image's the second.
    """
    y: torch.Tensor = torch.ops.caffe.chain(x, params, windows, relu, of_image)
    return y


def lrn(x: torch.Tensor, size: int, alpha: float, k: float) -> torch.Tensor:
    """x · (k + alpha · Σ x²)^−0.75 over ``size`` channels, for x (N × C × H × W, float32), in channels_last."""
    y: torch.Tensor = torch.ops.caffe.lrn(x, size, alpha, k)
    return y


def _joint_top(
    x: Tensors, kernels: Tensors, bias: Tensors, sizes: Numbers, pads: Numbers, relu: object
) -> torch.Tensor:
    return _top(x[0], sum(len(b) for b in bias), sizes[0], 1, pads[0])


def _convolutions(
    x: Tensors, kernels: Tensors, bias: Tensors, sizes: Numbers, pads: Numbers, relu: Sequence[bool]
) -> torch.Tensor:
    y = _joint_top(x, kernels, bias, sizes, pads, relu)
    start = 0
    for i, size in enumerate(sizes):
        bottom = x[i].contiguous(memory_format=torch.channels_last)
        top = y.narrow(1, start, len(bias[i]))
        start += len(bias[i])
        if size == 1:
            pointwise.convolve(bottom, kernels[i], bias[i], top, relu[i])
        else:
            winograd.convolve(bottom, kernels[i], bias[i], top, size, pads[i], relu[i])
    return y


def _top(x: torch.Tensor, outputs: int, size: int, stride: int, pad: int) -> torch.Tensor:
    return _new(x, _shape(x.shape, outputs, size, stride, pad))


def _shape(bottom: Numbers, outputs: int, size: int, stride: int, pad: int) -> tuple[int, ...]:
    return bottom[0], outputs, *((side + 2 * pad - size) // stride + 1 for side in bottom[2:])


def _new(x: torch.Tensor, shape: Numbers) -> torch.Tensor:
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _separable_top(
    x: torch.Tensor, params: Tensors, size: int, stride: int, pad: int, relu: object
) -> torch.Tensor:
    return _top(x, len(params[3]), size, stride, pad)


def _separable(
    x: torch.Tensor, params: Tensors, size: int, stride: int, pad: int, relu: Sequence[bool]
) -> torch.Tensor:
    y = _separable_top(x, params, size, stride, pad, relu)
    x = x.contiguous(memory_format=torch.channels_last)
    separable_kernels.convolve(x, params, y, size, stride, pad, relu)
    return y


def _image_top(
    x: torch.Tensor,
    kernels: torch.Tensor,
    bias: torch.Tensor,
    size: int,
    stride: int,
    pad: int,
    relu: object,
) -> torch.Tensor:
    return _top(x, len(bias), size, stride, pad)


def _image(
    x: torch.Tensor, kernels: torch.Tensor, bias: torch.Tensor, size: int, stride: int, pad: int, relu: bool
) -> torch.Tensor:
    y = _top(x, len(bias), size, stride, pad)
    image_kernels.convolve(x.contiguous(), kernels, bias, y, size, stride, pad, relu)
    return y


def _chain_top(
    x: torch.Tensor, params: Tensors, windows: Numbers, relu: object, of_image: bool
) -> torch.Tensor:
    shape: Numbers = x.shape
    for i, outputs in enumerate(chain_kernels.outputs(params, of_image)):
        shape = _shape(shape, outputs, *windows[3 * i : 3 * i + 3])
    return _new(x, shape)


def _chain(
    x: torch.Tensor, params: Tensors, windows: Numbers, relu: Sequence[bool], of_image: bool
) -> torch.Tensor:
    y = _chain_top(x, params, windows, relu, of_image)
    x = x.contiguous(memory_format=torch.contiguous_format if of_image else torch.channels_last)
    chain_kernels.convolve(x, params, y, windows, relu, of_image)
    return y


def _lrn(x: torch.Tensor, size: int, alpha: float, k: float) -> torch.Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.empty_like(x)
    threads = torch.get_num_threads()
    scratch = x.new_zeros(native.loaded().lrn_scratch(x.shape[1], size, threads))
    n, c, h, w = x.shape
    native.loaded().lrn(x.data_ptr(), y.data_ptr(), scratch.data_ptr(), n * h * w, c, size, alpha, k, threads)
    return y


_OPERATIONS = torch.library.Library("caffe", "FRAGMENT")
_OPERATIONS.define(
    "convolutions(Tensor[] x, Tensor[] kernels, Tensor[] bias, int[] sizes, int[] pads, bool[] relu) -> Tensor"
)
_OPERATIONS.define(
    "separable(Tensor x, Tensor[] params, int size, int stride, int pad, bool[] relu) -> Tensor"
)
_OPERATIONS.define(
    "image(Tensor x, Tensor kernels, Tensor bias, int size, int stride, int pad, bool relu) -> Tensor"
)
_OPERATIONS.define("chain(Tensor x, Tensor[] params, int[] windows, bool[] relu, bool of_image) -> Tensor")
_OPERATIONS.define("lrn(Tensor x, int size, float alpha, float k) -> Tensor")
_OPERATIONS.impl("convolutions", _convolutions, "CPU")
_OPERATIONS.impl("convolutions", _joint_top, "Meta")
_OPERATIONS.impl("separable", _separable, "CPU")
_OPERATIONS.impl("separable", _separable_top, "Meta")
_OPERATIONS.impl("image", _image, "CPU")
_OPERATIONS.impl("image", _image_top, "Meta")
_OPERATIONS.impl("chain", _chain, "CPU")
_OPERATIONS.impl("chain", _chain_top, "Meta")
_OPERATIONS.impl("lrn", _lrn, "CPU")
_OPERATIONS.impl(
    "lrn", lambda x, size, alpha, k: torch.empty_like(x, memory_format=torch.channels_last), "Meta"
)
