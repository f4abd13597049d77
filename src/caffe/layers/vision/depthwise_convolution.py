"""DepthwiseConvolution."""

from __future__ import annotations

from caffe.layers.vision.convolution import Convolution


class DepthwiseConvolution(Convolution):
    """Convolution under the name of MobileNet's forks; with ``group`` = channels = num_output each channel is
    filtered by itself. Without ``group`` it is a full convolution.

    bottom, top, blobs: as of Convolution.
    Differs from Caffe: nothing known. Source: yonghenglh6/DepthwiseConvolution, eric612/MobileNet-YOLO
    ``DepthwiseConvolution``; Howard et al. 2017.
    """

    origin = "depthwise convolution (yonghenglh6/DepthwiseConvolution)"
