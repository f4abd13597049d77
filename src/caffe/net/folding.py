"""BatchNorm and Scale folded into the kernels of the convolution before them, for graphs of constant parameters.

BN(W·x + b) with the statistics of training is one more linear step for each channel: (s·W)·x + (s·b + t).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from caffe.layer import Layer
from caffe.layers.common.scale import Scale
from caffe.layers.normalization.batch_norm import BatchNorm
from caffe.layers.vision.convolution import Convolution
from caffe.layers.vision.convolution_depthwise import ConvolutionDepthwise
from caffe.layers.vision.depthwise_convolution import DepthwiseConvolution
from caffe.net.wiring import Step

_CONVOLUTIONS = (Convolution, ConvolutionDepthwise, DepthwiseConvolution)
Params = Sequence[torch.Tensor]


def chains(steps: Sequence[Step], visible: set[int]) -> dict[int, list[int]]:
    """For each convolution with something to fold, by its place, the places of what is folded into it.

    ``visible`` are the ids of blobs whose values are wanted.
    """
    readers = Counter(id(b) for step in steps for b in step.bottom)
    found: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        if type(step.layer) not in _CONVOLUTIONS or len(step.top) != 1:
            continue
        if step.layer.param.convolution_param.relu:
            continue
        chain: list[int] = []
        blob = step.top[0]
        for k in range(i + 1, min(i + 3, len(steps))):
            then = steps[k]
            if len(then.bottom) != 1 or then.bottom[0] is not blob or not _is_linear(then.layer, bool(chain)):
                break
            in_place = then.top[0] is blob
            if not in_place and (id(blob) in visible or readers[id(blob)] != 1):
                break
            chain.append(k)
            blob = then.top[0]
        if chain:
            found[i] = chain
    return found


def _is_linear(layer: Layer, second: bool) -> bool:
    """Whether this may come first (BatchNorm), or second (Scale), behind a convolution."""
    if not second:
        return type(layer) is BatchNorm and layer.plain and layer.is_global
    return type(layer) is Scale and len(layer.blobs) > 0 and layer.per_channel


def fold(own: Params, behind: Sequence[tuple[Layer, Params]]) -> list[torch.Tensor]:
    """The convolution's kernels and bias with the layers behind it in them."""
    weight, bias = own[0], own[1] if len(own) > 1 else None
    factor, shift = weight.new_ones(len(weight)), weight.new_zeros(len(weight))
    for layer, params in behind:
        if isinstance(layer, BatchNorm):
            factor, shift = layer.line(*params)
        else:
            factor = factor * params[0]
            shift = shift * params[0]
            shift = shift + params[1] if len(params) > 1 else shift
    bias = shift if bias is None else torch.addcmul(shift, bias, factor)
    return [weight * factor.view(-1, *(1,) * (weight.dim() - 1)), bias]
