"""NormalizedLayer."""

from __future__ import annotations

import torch

from caffe.tensor_layer import TensorLayer


class NormalizedLayer(TensorLayer):
    """Scales each item to length 1: y = x / √Σ x² over all its values.

    bottom: x (N × …). top: y of x's shape. An item of zeros stays zeros.
    Differs from Caffe: nothing known. Source: the L2 normalization layers of face nets (NormFace and others).
    """

    origin = "several forks"

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x.flatten(1), eps=1e-12).reshape(x.shape)
