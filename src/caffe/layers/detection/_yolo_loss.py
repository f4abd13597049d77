"""Losses of YOLO: a difference is set by hand for every prediction; the loss is the sum of their squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from caffe.boxes import Array
from caffe.layers.detection import _yolo


@dataclass
class Placed:
    """Annotated boxes and the predictions that answer for them: indices (T each), and labels and boxes."""

    image: Array
    anchor: Array
    row: Array
    column: Array
    label: Array
    box: Array

    def __getitem__(self, chosen: Array) -> Placed:
        return Placed(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    @property
    def at(self) -> tuple[torch.Tensor, ...]:
        """Index of the predictions in a map N × A × k × H × W moved to k last: image, anchor, row, column."""
        return tuple(torch.from_numpy(i) for i in (self.image, self.anchor, self.row, self.column))


def place(found: list[Array], size: tuple[int, int]) -> Placed:
    """Every annotated box in the cell of its centre, in a map of this height and width; anchors are left
    0.
    """
    rows = np.concatenate([np.zeros((0, 5), np.float32), *found])
    image = np.concatenate([np.zeros(0, np.int64), *(np.full(len(f), i) for i, f in enumerate(found))])
    height, width = size
    column = np.clip((rows[:, 1] * width).astype(np.int64), 0, width - 1)
    row = np.clip((rows[:, 2] * height).astype(np.int64), 0, height - 1)
    return Placed(image, np.zeros_like(row), row, column, rows[:, 0].astype(np.int64), rows[:, 1:])


def best_overlap(predicted: torch.Tensor, found: list[Array]) -> torch.Tensor:
    """The largest overlap of each predicted box (N × A × 4 × H × W) with an annotated one (N × A × H × W)."""
    host = predicted.permute(0, 1, 3, 4, 2).float().cpu().numpy()
    best = np.zeros(host.shape[:4], np.float32)
    for i, truth in enumerate(found):
        if len(truth):
            best[i] = _yolo.overlaps(truth[:, 1:], host[i].reshape(-1, 4)).max(0).reshape(best.shape[1:])
    return torch.from_numpy(best).to(predicted.device)


def targets(placed: Placed, size: tuple[int, int], anchors: Array) -> Array:
    """What x, y, w, h (T × 4) should be: place in the cell, and logarithm of the size relative to its
    anchor's (T × 2).
    """
    height, width = size
    place_x = placed.box[:, 0] * width - placed.column
    place_y = placed.box[:, 1] * height - placed.row
    wanted: Array = np.concatenate([np.stack([place_x, place_y], 1), np.log(placed.box[:, 2:] / anchors)], 1)
    return wanted


def with_gradient(x: torch.Tensor, difference: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Σ difference² / N, with the gradient of x given by hand: gradient / N."""
    images = x.shape[0]
    carrier = (x * gradient).sum() / images
    return carrier + (difference.square().sum() / images - carrier).detach()
