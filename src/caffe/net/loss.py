"""What layers add to a net's loss, and the gradient of the loss that backward starts from.

A layer's part is the values of its tops times their weights. The tops' diffs hold the weights, times the scale that
float16 needs; the loss is without that scale.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import torch

from caffe.blob import Blob
from caffe.net.step import Step

Loss = torch.Tensor | float


def loss_of(step: Step, scale: float) -> Loss:
    """A layer's part of the loss, where gradients are multiplied by ``scale``."""
    parts: list[Loss] = []
    for weight, blob in zip(step.loss_weights, step.top):
        if weight:
            if not blob.diff_memory.allocated:  # a new shape
                fill_diff(blob, weight * scale)
            parts.append(torch.dot(blob.tensor.float().flatten(), blob.diff_tensor.float().flatten()))
    loss = total(parts)
    return loss if scale == 1 else loss / scale


def set_scale(steps: Iterable[Step], scale: float) -> None:
    """Multiply all gradients by ``scale`` from now on."""
    for step in steps:
        for weight, blob in zip(step.loss_weights, step.top):
            if weight:
                fill_diff(blob, weight * scale)


def fill_diff(blob: Blob, weight: float) -> None:
    """The gradient of the total loss with respect to a loss blob is its weight."""
    blob.diff_memory.mutable_on(blob.diff_tensor.device).fill_(weight)


def total(losses: Iterable[Loss]) -> Loss:
    """Their sum, at one operation less than from 0 on; what is no tensor is 0."""
    tensors = [loss for loss in losses if isinstance(loss, torch.Tensor)]
    return reduce(torch.add, tensors) if tensors else 0.0
