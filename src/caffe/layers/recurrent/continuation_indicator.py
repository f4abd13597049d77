"""ContinuationIndicator."""

from __future__ import annotations

import torch

from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class ContinuationIndicator(TensorLayer):
    """What LSTM and RNN take as ``cont`` where every batch is whole sequences: 0 in the first step, then 1.

    bottom: none. top: time_step × batch_size.
    Differs from Caffe: nothing known. Source: xmfbit/warpctc-caffe.
    """

    num_bottoms = 0
    source = True
    differentiable = False
    origin = "warpctc-caffe (xmfbit/warpctc-caffe)"
    reads = {"continuation_indicator_param": "*"}

    def check(self) -> None:
        p = self.param.continuation_indicator_param
        for field in ("time_step", "batch_size"):
            if getattr(p, field) < 1:
                raise self.error(f"must be at least 1; got {getattr(p, field)}", field=field)

    def compute(self) -> torch.Tensor:
        from caffe import runtime

        p: caffe_pb2.ContinuationIndicatorParameter = self.param.continuation_indicator_param
        indicator = torch.ones(p.time_step, p.batch_size, device=runtime.device())
        indicator[0] = 0
        return indicator
