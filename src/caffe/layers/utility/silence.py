"""Silence."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Blob
from caffe.layer import Layer


class Silence(Layer):
    """Swallows blobs, so that they do not count as outputs of the net. Their gradient is 0.

    bottom: any number of blobs. top: none.
    Differs from Caffe: nothing known. Source: BVLC ``Silence``.
    """

    num_bottoms = (1, None)
    num_tops = 0

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        for blob, wanted in zip(bottom, propagate_down):
            if wanted:
                blob.bind_diff(torch.zeros_like(blob.tensor))
