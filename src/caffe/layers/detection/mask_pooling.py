"""MaskPooling."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class MaskPooling(TensorLayer):
    """Multiplies each region's features by its mask.

    bottom: features (R × C × H × W); masks (R × 1 × H × W). top: their product.
    Differs from Caffe: nothing known. Source: daijifeng001/caffe-mnc; Dai et al. 2016.
    """

    num_bottoms = 2
    origin = "MNC (daijifeng001/caffe-mnc)"

    def check(self, features: Shape, masks: Shape) -> None:
        if len(features) != 4 or masks != (features[0], 1, *features[2:]):
            raise self.shape_error(
                f"the bottoms must be R×C×H×W and R×1×H×W; got shapes {list(features)} and {list(masks)}"
            )

    def compute(self, features: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return features * masks
