"""ConvolutionDepthwise."""

from __future__ import annotations

from caffe.blob import Shape
from caffe.layers.vision.convolution import Convolution
from caffe.proto import caffe_pb2


class ConvolutionDepthwise(Convolution):
    """Convolution of each channel by itself, num_output / C kernels a channel; ``group`` is ignored.

    A num_output that is no multiple of C is ignored too, and every channel has one kernel.

    bottom, top: as of Convolution. blobs: W (num_output × 1 × kernel_h × kernel_w), b (num_output).
    Differs from Caffe: nothing known. Source: Synopsys (num_output a multiple of C), jolibrain/caffe,
    luoyetx/mini-caffe and farmingyard/ShuffleNet (one kernel a channel) ``ConvolutionDepthwise``;
    Howard et al. 2017.
    """

    origin = (
        "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe), "
        "jolibrain/caffe, "
        "ShuffleNet (farmingyard/ShuffleNet)"
    )

    def groups(self, channels: int) -> int:
        return channels

    def check(self, *shapes: Shape) -> None:
        p = self.param.convolution_param
        channels = shapes[0][self.axis(p.axis, shapes[0])]
        if channels and p.num_output % channels:
            changed = caffe_pb2.LayerParameter()
            changed.CopyFrom(self.param)
            changed.convolution_param.num_output = channels
            self.param = changed
        super().check(*shapes)
