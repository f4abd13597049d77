"""L2Norm and L2Normalization."""

from __future__ import annotations

from caffe.layers.normalization.normalized_layer import NormalizedLayer


class L2Norm(NormalizedLayer):
    """NormalizedLayer under another name: y = x / √Σ x² over all values of an item.

    bottom: x (N × …). top: y of x's shape.
    Differs from Caffe: nothing known. Source: face recognition forks.
    """
