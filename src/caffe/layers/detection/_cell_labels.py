"""What Synopsys' YOLO losses share: annotations cell by cell, and a loss whose terms have means of their own."""

from __future__ import annotations

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import Array
from caffe.layers.detection import _yolo
from caffe.layers.detection._yolo_loss import Placed
from caffe.tensor_layer import TensorLayer


def check(layer: TensorLayer, predictions: Shape, labels: Shape, anchors: int, classes: int) -> None:
    """Raise ShapeError unless there are a square prediction map and seven values for each of its cells."""
    _yolo.check_map(layer, predictions, anchors, classes)
    n, _, height, width = predictions
    if height != width:
        raise layer.shape_error(f"the map must be square; got {height} × {width}")
    count = int(np.prod(labels[1:])) if len(labels) > 1 else 0
    if labels[:1] != (n,) or count != 7 * height * width:
        raise layer.shape_error(
            f"the labels must be {n} × 7·{height}·{width} = {7 * height * width} values; got {list(labels)}"
        )


def truths(labels: torch.Tensor, side: int) -> list[Array]:
    """The annotated boxes (T × 5: label, box) of each image, cell by cell.

    An image has a map that is not used, a map of where boxes are, one of labels, and a box for each cell. The label of
    a box is that of the cell of its centre.
    """
    of_images = []
    cells = side * side
    for row in labels.detach().float().cpu().numpy().reshape(labels.shape[0], -1):
        boxes = row[3 * cells :].reshape(cells, 4)[row[cells : 2 * cells] != 0]
        column, line = (np.clip((boxes[:, i] * side).astype(np.int64), 0, side - 1) for i in (0, 1))
        named = row[2 * cells : 3 * cells][line * side + column]
        of_images.append(np.concatenate([named[:, None], boxes], 1))
    return of_images


def drawn(raw: torch.Tensor, wanted: Array, scale: Array) -> tuple[float, torch.Tensor]:
    """Of T predictions (T × …, their boxes first) drawn to boxes (T × 4): the loss and the gradient (T × 4).

    The loss is scale · d² of place and logarithm of the size; the gradient lacks its 2.
    """
    place = raw[:, :2].sigmoid()
    d = torch.cat([place, raw[:, 2:4]], 1) - torch.from_numpy(wanted).to(raw)
    weight = torch.from_numpy(scale).to(raw)[:, None]
    slope = torch.cat([place * (1 - place), torch.ones_like(place)], 1)
    return float((weight * d.square()).sum()), weight * d * slope


def boxes_of(raw: torch.Tensor, placed: Placed, anchors: Array, side: int) -> Array:
    """The boxes (T × 4) of T predictions, for anchors (T × 2) in units of the image."""
    host = raw.float().cpu().numpy()
    cell = np.stack([placed.column, placed.row], 1)
    return np.concatenate([(cell + 1 / (1 + np.exp(-host[:, :2]))) / side, np.exp(host[:, 2:4]) * anchors], 1)


def loss(x: torch.Tensor, gradient: torch.Tensor, objects: float, others: float, count: int) -> torch.Tensor:
    """The loss: terms of objects by their ``count``, terms of all others by theirs; ``gradient`` / N for x.

    ``gradient`` is N × A × H × W × values.
    """
    n, anchors, height, width = gradient.shape[:4]
    free = n * anchors * height * width - count
    value = objects / max(count, 1) + others / max(free, 1)
    by_hand = gradient.permute(0, 1, 4, 2, 3).flatten(1, 2)
    carrier = (x * by_hand).sum() / max(n, 1)
    return carrier + (value - carrier).detach()
