"""ReLU6."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.tensor_layer import TensorLayer


class ReLU6(TensorLayer):
    """Rectified linear unit with an upper bound: y = min(max(x, 0), 6) + negative_slope · min(x, 0).

    bottom: x of any shape. top: y of x's shape.
    Differs from Caffe: nothing known. Source: jolibrain/caffe, eric612/MobileNet-YOLO (``relu6_param``)
    ``ReLU6``.
    """

    origin = "jolibrain/caffe, MobileNet-YOLO (eric612/MobileNet-YOLO)"
    reads = {"relu6_param": "negative_slope"}

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        slope = self.param.relu6_param.negative_slope
        y = F.relu6(x)
        return y + slope * x.clamp(max=0) if slope else y
