"""ConvolutionDepthwise."""

from __future__ import annotations

from caffe.layers.vision.convolution import Convolution


class ConvolutionDepthwise(Convolution):
    """Convolution of each channel by itself, num_output / C kernels a channel; ``group`` is ignored.

    bottom, top: as of Convolution. blobs: W (num_output × 1 × kernel_h × kernel_w), b (num_output).
    Differs from Caffe: nothing known. Source: Synopsys (num_output a multiple of C), jolibrain/caffe and
    luoyetx/mini-caffe (num_output = C) ``ConvolutionDepthwise``; Howard et al. 2017.
    """

    origin = "Synopsys, jolibrain/caffe"

    def groups(self, channels: int) -> int:
        return channels
