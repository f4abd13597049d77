"""Deconvolution."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.vision._window import deconvolve
from caffe.layers.vision.convolution import Convolution


class Deconvolution(Convolution):
    """Transposed convolution: each input value adds its copy of the kernel to the output.

    y[n, o, j…] = b[o] + Σ_c Σ_{i·stride − pad + k·dilation = j} W[c, o, k…] · x[n, c, i…], with c over the
    channels of o's group. The output's size along an axis is stride·(size − 1) + dilation·(kernel − 1) + 1 −
    2·pad.

    bottom: x (N × C × H × W; other numbers of axes and several bottoms as for Convolution).
    top: y (N × num_output × H′ × W′), one for each bottom.
    blobs: W (C × num_output/group × kernel_h × kernel_w), b (num_output) with ``bias_term``.
    Differs from Caffe: ``engine`` and ``force_nd_im2col`` choose nothing.
    Source: BVLC ``Deconvolution``; Zeiler et al. 2010; Long et al. 2015.
    """

    def weight_shape(self, channels: int) -> Shape:
        return (channels, self.param.convolution_param.num_output // self.group_count, *self.window.kernel)

    def check_spatial(self, spatial: Shape) -> None:
        w = self.window
        for i, (size, stride, pad, extent) in enumerate(zip(spatial, w.stride, w.pad, w.extent)):
            out = stride * (size - 1) + extent - 2 * pad
            if out < 1:
                raise self.shape_error(
                    f"{pad} leaves no output along spatial axis {i}: {stride}·({size} − 1) + {extent} − 2·{pad} ="
                    f" {out}; the bottom's spatial shape is {list(spatial)}",
                    field="pad",
                )

    def apply(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return deconvolve(x, weight, bias, self.window, self.group_count)
