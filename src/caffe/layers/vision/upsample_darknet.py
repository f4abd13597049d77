"""UpsampleDarknet."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class UpsampleDarknet(TensorLayer):
    """Repeat every pixel ``stride`` times in both directions.

    bottom: x (N × C × H × W). top: y (N × C × H·stride × W·stride).
    Differs from Caffe: nothing known. Source: Synopsys ``UpsampleDarknet``, after darknet's upsample.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"upsample_darknet_param": "*"}
    in_place = False

    def check(self, shape: Shape) -> None:
        stride = self.param.upsample_darknet_param.stride
        if stride < 1:
            raise self.error(f"must be at least 1; got {stride}", field="stride")
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes; got shape {list(shape)}")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        stride = self.param.upsample_darknet_param.stride
        return F.interpolate(x, scale_factor=stride, mode="nearest") if stride > 1 else x.clone()
