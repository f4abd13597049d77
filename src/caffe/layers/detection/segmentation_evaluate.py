"""SegmentationEvaluate."""

from __future__ import annotations

import math

import numpy as np
import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class SegmentationEvaluate(TensorLayer):
    """Intersection over union of each class's mask of the first image: of pixels above ``threshold``, the share
    that predicted and true mask have in common.

    Where the masks differ in size, the predicted one is resized (bilinear) in 256 steps, and a class that the truth
    has nowhere and that is not hit gives -1, else 0.

    bottom: predicted masks (N × C × H × W); true masks (N × C × H' × W'). top: 1 × 1 × 1 × C. No gradient.
    Differs from Caffe: nothing known. Source: eric612/MobileNet-YOLO.
    """

    num_bottoms = 2
    no_gradient = (0, 1)
    differentiable = False
    in_place = False
    origin = "MobileNet-YOLO (eric612/MobileNet-YOLO)"
    reads = {"segmentation_evaluate_param": "*"}

    def check(self, found: Shape, truth: Shape) -> None:
        p = self.param.segmentation_evaluate_param
        if not p.HasField("num_classes"):
            raise self.error("must be given", field="num_classes")
        if len(found) != 4 or len(truth) != 4 or found[1] != truth[1] or not found[0] or not truth[0]:
            raise self.shape_error(
                f"the bottoms must be N×C×H×W masks of as many classes; got {list(found)} and {list(truth)}"
            )

    def compute(self, found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        if found.is_meta:
            return found.new_empty(1, 1, 1, truth.shape[1])
        import cv2

        least = np.float32(self.param.segmentation_evaluate_param.threshold)
        predicted = found[0].float().cpu().numpy()
        true = truth[0].float().cpu().numpy() > least
        resized = predicted.shape != true.shape
        shares = []
        for mask, wanted in zip(predicted, true):
            if resized:
                steps = (mask * np.float32(255)).clip(0, 255).astype(np.uint8)
                hit = cv2.resize(steps, wanted.shape[::-1]) > math.floor(least * np.float32(255))
            else:
                hit = mask > least
            both = int((hit & wanted).sum())
            if both:
                shares.append(both / int((hit | wanted).sum()))
            else:
                shares.append(-1.0 if resized and not wanted.any() else 0.0)
        return found.new_tensor(shares).reshape(1, 1, 1, -1)
