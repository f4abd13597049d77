"""ConvolutionFloat."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.vision._fixed_point import Formats, read_formats
from caffe.layers.vision._window import convolve
from caffe.layers.vision.convolution import Convolution


class ConvolutionFloat(Convolution):
    """Convolution in fixed point, on floats: y = Q(clip(W̃ * x̃) + b̃), with W̃, x̃, b̃ and y rounded.

    ``qcodeconfig`` gives the formats of weights, input and output, ``il`` bits before the point (one is the sign)
    and ``fl`` behind it; without, 2 and 6, 3 and 5, 3 and 5. Biases have the sums of weights' and input's bits;
    the convolution is cut off at ±2^(il - 1) of those. Rounding is to the nearest, the lower of two. Gradients are
    the convolution's at W̃ and x̃, and pass the rounding and the cutting off.

    bottom, top, blobs: as of Convolution, with one bottom; the blobs are not rounded.
    Differs from Caffe: it is what the fork does on the GPU, on all devices (its CPU code does not round); sums are
    cut off at their end, there at every step; the bottom keeps its values, where the fork leaves it rounded.
    Source: ICT-CHASE/On-accelerator-training ``ConvolutionFloat``.
    """

    num_bottoms = 1
    num_tops = 1
    equal_counts = False
    full_precision = True
    origin = "On-accelerator training (ICT-CHASE/On-accelerator-training)"
    reads = {"convolution_param": "*"}

    formats: Formats

    def check(self, *shapes: Shape) -> None:
        super().check(*shapes)
        self.formats = read_formats(self)

    def apply(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        f = self.formats
        sums = convolve(f.input.round(x), f.weights.round(weight), None, self.window, self.group_count)
        return f.result(sums, None if bias is None else bias.view(-1, *(1,) * (x.dim() - 2)))
