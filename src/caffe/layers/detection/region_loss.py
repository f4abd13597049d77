"""RegionLoss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import Array
from caffe.layers.detection import _yolo, _yolo_loss
from caffe.tensor_layer import TensorLayer

WARM_UP = 12800  # images for which boxes are drawn to their anchors


class RegionLoss(TensorLayer):
    """The loss of YOLO v2: L = Σ d² / N over differences d = scale · (prediction - target), set by hand.

    Objectness is drawn to 0 (``noobject_scale``) where the predicted box overlaps no annotated one by more
    than ``thresh``. Each annotated box has one prediction to answer for it, that of its centre's cell whose
    anchor (``biases``, in cells) has the most similar shape: place and size are drawn to it
    (``coord_scale``), objectness to 1, or with ``rescore`` to the overlap (``object_scale``), the softmax of
    classes to its label (``class_scale``). For the first 12,800 images all boxes are drawn a little to their
    anchors.

    The gradient is d / N, with the sigmoids' derivative in d; it is not the derivative of L.
    bottom: map (N × num·(5 + classes) × H × W), annotations (N × … × 5) rows label, centre x, y, width,
    height.
    top: L, a single number.
    Differs from Caffe: warm-up is counted for each layer; no averages are logged.
    Source: eric612/MobileNet-YOLO ``RegionLoss``; Redmon & Farhadi 2017.
    """

    origin = "MobileNet-YOLO (eric612/MobileNet-YOLO)"
    reads = {"region_loss_param": "*"}
    num_bottoms = 2
    is_loss = True
    auto_tops = True
    no_gradient = (1,)
    in_place = False
    _iteration = 0

    def check(self, predictions: Shape, annotations: Shape) -> None:
        p = self.param.region_loss_param
        if p.coords != 4:
            raise self.error(f"must be 4; got {p.coords}", field="coords")
        if p.softmax_tree or p.class_map:
            raise self.error("is not supported", field="softmax_tree" if p.softmax_tree else "class_map")
        _yolo.check_map(self, predictions, p.num, p.num_class)
        _yolo.check_anchors(self, p.biases, p.num)

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [()]

    def compute(self, predictions: torch.Tensor, annotations: torch.Tensor) -> torch.Tensor:
        p = self.param.region_loss_param
        images, size = predictions.shape[0], (predictions.shape[2], predictions.shape[3])
        x = predictions.detach().unflatten(1, (p.num, -1))
        anchors = x.new_tensor(list(p.biases)).view(-1, 2)[: p.num]
        place, objectness = x[:, :, :2].sigmoid(), x[:, :, 4].sigmoid()
        boxes = _yolo.box_map(place, x[:, :, 2:4], anchors, (size[1], size[0]))
        truths = _yolo.truths(annotations, images)
        d = torch.zeros_like(x)
        d[:, :, 4] = p.noobject_scale * objectness * objectness * (1 - objectness)
        d[:, :, 4][_yolo_loss.best_overlap(boxes, truths) > p.thresh] = 0
        if self._iteration < WARM_UP // max(images, 1):
            d[:, :, :2] = -0.01 * (0.5 - place) * place * (1 - place)
            d[:, :, 2:4] = 0.01 * x[:, :, 2:4]
        self._iteration += 1
        self._answer(d, x, boxes, truths, anchors)
        return _yolo_loss.with_gradient(predictions, d.flatten(1, 2), d.flatten(1, 2))

    def _answer(
        self,
        d: torch.Tensor,
        x: torch.Tensor,
        boxes: torch.Tensor,
        found: list[Array],
        anchors: torch.Tensor,
    ) -> None:
        """Set the differences of the predictions that answer for annotated boxes."""
        p = self.param.region_loss_param
        size = (x.shape[-2], x.shape[-1])
        placed = _yolo_loss.place(found, size)
        if not len(placed.image):
            return
        shapes = anchors.float().cpu().numpy() / np.array([size[1], size[0]], np.float32)
        cells = boxes.movedim(2, -1)
        if p.bias_match:
            similar = _yolo.shape_overlaps(placed.box[:, 2:], shapes)
        else:
            image, _, row, column = placed.at
            predicted = cells[image, :, row, column].float().cpu().numpy()
            similar = np.stack(
                [_yolo.shape_overlaps(b[None, 2:], q[:, 2:])[0] for b, q in zip(placed.box, predicted)]
            )
        placed.anchor = similar.argmax(1)
        places = np.stack([placed.image, placed.anchor, placed.row, placed.column], 1)
        placed = placed[_yolo.last_of_each(places)]
        at, new = placed.at, x.new_tensor
        mine, overlap = x.movedim(2, -1)[at], _diagonal(cells[at].float().cpu().numpy(), placed.box)
        wanted = new(_yolo_loss.targets(placed, size, shapes[placed.anchor]))
        place, objectness = mine[:, :2].sigmoid(), mine[:, 4].sigmoid()
        area = new(placed.box[:, 2:].prod(1))
        scale = p.coord_scale * (torch.ones_like(area) if p.rescore else 2 - area)[:, None]
        classes = torch.zeros_like(mine[:, 5:])
        classes[torch.arange(len(mine)), torch.from_numpy(placed.label)] = 1
        goal = new(overlap) if p.rescore else torch.ones_like(objectness)
        slope = objectness * (1 - objectness)
        d.movedim(2, -1)[at] = torch.cat(
            [
                -scale * (wanted[:, :2] - place) * place * (1 - place),
                -scale * (wanted[:, 2:] - mine[:, 2:4]),
                (-p.object_scale * (goal - objectness) * slope)[:, None],
                -p.class_scale * (classes - mine[:, 5:].softmax(1)),
            ],
            1,
        )


def _diagonal(predicted: Array, wanted: Array) -> Array:
    """The overlap of each predicted box with its own annotated one."""
    return np.array([_yolo.overlaps(a[None], b[None])[0, 0] for a, b in zip(predicted, wanted)], np.float32)
