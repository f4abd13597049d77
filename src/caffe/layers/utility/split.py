"""Split."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Blob
from caffe.layer import Layer


class Split(Layer):
    """Gives one blob to several layers; the net inserts it where a blob is the bottom of more than one.

    y₁ = y₂ = … = x, sharing its values; the gradients of the tops are added.

    bottom: x. top: any number of blobs of x's shape, not in place.
    Differs from Caffe: nothing known. Source: BVLC ``Split``.
    """

    num_bottoms = 1
    num_tops = (1, None)
    in_place = False

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for blob in top:
            blob.reshape(*bottom[0].shape)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        x = bottom[0].tensor
        for blob in top:
            blob.bind(x)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if not propagate_down[0]:
            return
        # the others lead to no loss: nothing was ever written there
        written = [m for m in (b.diff_memory for b in top) if m.allocated or m.pending is not None]
        diffs = [m.on(bottom[0].tensor.device) for m in written]
        if not diffs:
            bottom[0].bind_diff(torch.zeros_like(bottom[0].tensor))
            return
        total = diffs[0] if len(diffs) == 1 else diffs[0] + diffs[1]
        for diff in diffs[2:]:
            total += diff
        bottom[0].bind_diff(total)
