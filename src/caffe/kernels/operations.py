"""The kernels as operations of torch, which compiled graphs hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.kernels import native, pointwise, winograd

Tensors = Sequence[torch.Tensor]
Numbers = Sequence[int]


def convolutions(
    x: Tensors, kernels: Tensors, bias: Tensors, sizes: Numbers, pads: Numbers, relu: Sequence[bool]
) -> torch.Tensor:
    """Convolutions of stride 1 side by side: their outputs joined along channels, in channels_last.

    Of each: x (N × C × H × W, float32), the kernels as :mod:`.winograd` (sizes 3 and 5) or :mod:`.pointwise` (1) packs
    them, the bias (outputs), the kernels' size, the pad, whether a ReLU is behind it.
    """
    found: torch.Tensor = torch.ops.caffe.convolutions(x, kernels, bias, sizes, pads, relu)
    return found


def lrn(x: torch.Tensor, size: int, alpha: float, k: float) -> torch.Tensor:
    """x · (k + alpha · Σ x²)^−0.75 over ``size`` channels, for x (N × C × H × W, float32), in channels_last."""
    found: torch.Tensor = torch.ops.caffe.lrn(x, size, alpha, k)
    return found


def _joint_top(
    x: Tensors, kernels: Tensors, bias: Tensors, sizes: Numbers, pads: Numbers, relu: object
) -> torch.Tensor:
    images = (x[0].shape[0], sum(len(b) for b in bias))
    sides = (side + 2 * pads[0] - sizes[0] + 1 for side in x[0].shape[2:])
    return torch.empty(
        *images, *sides, dtype=x[0].dtype, device=x[0].device, memory_format=torch.channels_last
    )


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
_OPERATIONS.define("lrn(Tensor x, int size, float alpha, float k) -> Tensor")
_OPERATIONS.impl("convolutions", _convolutions, "CPU")
_OPERATIONS.impl("convolutions", _joint_top, "Meta")
_OPERATIONS.impl("lrn", _lrn, "CPU")
_OPERATIONS.impl(
    "lrn", lambda x, size, alpha, k: torch.empty_like(x, memory_format=torch.channels_last), "Meta"
)
