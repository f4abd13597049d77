"""In inference a BatchNorm and a Scale in place on a convolution's top are in its weight, which are packed once.

With the statistics of training they are one more linear step for each channel: s·(W·x + b) + t = (s·W)·x + (s·b + t).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe import runtime
from caffe.blob import Blob, BlobVec
from caffe.layer import Layer
from caffe.layers.common.scale import Scale
from caffe.layers.normalization.batch_norm import BatchNorm
from caffe.layers.vision.convolution import Convolution
from caffe.layers.vision.convolution_depthwise import ConvolutionDepthwise
from caffe.layers.vision.depthwise_convolution import DepthwiseConvolution
from caffe.net.rewrites.scale_into_norm import goes_behind
from caffe.net.run.mode import Mode
from caffe.net.run.op import Op
from caffe.net.run.plan import Part
from caffe.net.step import Step
from caffe.net.wiring import Wiring
from caffe.precision import shortened
from caffe.tensor_layer import TensorLayer
from caffe.torch_private import Window, packed_convolution, packed_weight

_CONVOLUTIONS = (Convolution, ConvolutionDepthwise, DepthwiseConvolution)


class FoldedConvolution(TensorLayer):
    """A convolution with the BatchNorm, Scale and ReLU that work in place on its top, for inference."""

    def __init__(self, layers: Sequence[Layer], relu: bool = False) -> None:
        super().__init__(layers[0].param)
        if not isinstance(layers[0], Convolution):
            raise TypeError(f"{layers[0]} is no convolution")
        self.layers = layers
        self._convolution = layers[0]
        self._relu = relu
        self._linear = layers[:-1] if relu else layers
        self.blobs = BlobVec([blob for layer in layers for blob in layer.blobs])
        self._folded: tuple[object, list[torch.Tensor]] | None = None

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for layer in self.layers:
            layer.reshape(bottom if layer is self.layers[0] else top, top)
        self._shapes = tuple(b.shape for b in bottom)

    def _parameters(self, device: torch.device, graph: bool) -> list[torch.Tensor]:
        """Kernels and bias, made once for as long as all the parameters, and the bottom's shape, stay the same."""
        memories = [blob.data_memory for blob in self.blobs]
        key = device, runtime.amp(), self._shapes, memories, [memory.changes for memory in memories]
        if self._folded is None or self._folded[0] != key or any(memory.watched for memory in memories):
            own = [[blob.data_memory.on(device) for blob in layer.blobs] for layer in self._linear]
            weight, *bias = fold(self._linear, own)
            self._folded = key, [self._packed(weight), *bias]
        return self._folded[1]

    def _packed(self, weight: torch.Tensor) -> torch.Tensor:
        """Kernels in the order that the operation wants."""
        if weight.dim() == 4 and weight.device.type != "mps":
            weight = weight.contiguous(memory_format=torch.channels_last)
        weight = shortened(weight)
        if not self._by_onednn(weight):
            return weight
        return packed_weight(weight, self._window(), self._shapes[0] if self._shapes else None)

    def _by_onednn(self, x: torch.Tensor) -> bool:
        cpu = x.device.type == "cpu" and x.dtype == torch.float32 and not runtime.amp()
        return cpu and self._convolution.plain and torch.backends.mkldnn.is_available()

    def _window(self) -> Window:
        window = self._convolution.window
        channels = self._shapes[0][1] if self._shapes else 0
        return window.pad, window.stride, window.dilation, self._convolution.groups(channels)

    def compute(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        if self._by_onednn(x):
            x = x.contiguous(memory_format=torch.channels_last)
            return packed_convolution(x, weight, bias, self._window(), bool(self._relu))
        (y,) = self._convolution.compute(x, weight, *([] if bias is None else [bias]))
        return torch.relu_(y) if self._relu else y


class NormIntoConvolution:
    """See the module."""

    name = "norm into convolution"

    def applies(self, mode: Mode) -> bool:
        return mode.inference and mode.whole and not (mode.watched or mode.compiled)

    def __call__(self, parts: list[Part], wiring: Wiring, mode: Mode) -> list[Part]:
        rewritten: list[Part] = []
        for part in parts:
            before = rewritten[-1] if rewritten else None
            if not isinstance(part, Op):
                rewritten.append(part)
            elif takes_more(part.steps[0]):
                rewritten.append(folded(part.steps, part.places, "packed weight", wiring))
            elif (
                isinstance(before, Op)
                and isinstance(before.layer, FoldedConvolution)
                and goes_behind(before.steps[-1], part.steps[0])
                and goes_into(part.layer, len(before.steps) - 1)
            ):
                steps, places = (*before.steps, *part.steps), (*before.places, *part.places)
                rewritten[-1] = folded(steps, places, self.name, wiring)
            else:
                rewritten.append(part)
        return rewritten


def folded(
    steps: tuple[Step, ...], places: tuple[int, ...], rewrite: str, wiring: Wiring, before: Op | None = None
) -> Op:
    """A convolution with what is behind it as one op; ``before`` is what it was without the ReLU at the end."""
    layer = wiring.made.get(places)
    if layer is None:
        layer = FoldedConvolution([step.layer for step in steps], relu=before is not None)
        wiring.made[places] = layer
    return Op(layer, steps, places, rewrites=(*(before.rewrites if before is not None else ()), rewrite))


def takes_more(step: Step) -> bool:
    """Whether it is a convolution whose weight can take what is behind it."""
    return (
        type(step.layer) in _CONVOLUTIONS
        and len(step.top) == 1
        and not step.layer.param.convolution_param.relu
    )


def goes_into(then: Layer, before: int) -> bool:
    """Whether a layer goes into the weight of a convolution that has taken ``before`` already."""
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
