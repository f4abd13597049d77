"""BatchNorm and Scale in the kernels of the convolution before them.

With the statistics of training they are one more linear step for each channel: s·(W·x + b) + t = (s·W)·x + (s·b + t).
"""

from __future__ import annotations

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


def takes_more(step: Step) -> bool:
    """Whether it is a convolution whose kernels can take what is behind it."""
    return (
        type(step.layer) in _CONVOLUTIONS
        and len(step.top) == 1
        and not step.layer.param.convolution_param.relu
    )


def goes_into(then: Layer, before: int) -> bool:
    """Whether a layer goes into the kernels of a convolution that has taken ``before`` already."""
    if before == 0:
        return type(then) is BatchNorm and then.plain and then.is_global
    return before == 1 and type(then) is Scale and len(then.blobs) > 0 and then.per_channel


def fold(layers: Sequence[Layer], own: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
    """Kernels and bias of a convolution with the layers behind it, from each one's ``own`` parameters."""
    if len(layers) == 1:
        return list(own[0])
    weight, bias = own[0][0], own[0][1] if len(own[0]) > 1 else None
    factor, shift = weight.new_ones(len(weight)), weight.new_zeros(len(weight))
    for layer, params in zip(layers[1:], own[1:]):
        if isinstance(layer, BatchNorm):
            factor, shift = layer.line(*params)
        else:
            factor = factor * params[0]
            shift = shift * params[0]
            shift = shift + params[1] if len(params) > 1 else shift
    bias = shift if bias is None else torch.addcmul(shift, bias, factor)
    return [weight * factor.view(-1, *(1,) * (weight.dim() - 1)), bias]
