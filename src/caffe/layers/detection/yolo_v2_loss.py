"""YoloV2Loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import Array
from caffe.layers.detection import _cell_labels, _yolo, _yolo_loss
from caffe.tensor_layer import Stateful, TensorLayer

_SEEN = 12800
"""Images until which boxes are drawn to their anchors."""


class YoloV2Loss(TensorLayer):
    """The loss of YOLO v2 for annotations cell by cell, its gradient set by hand.

    Objectness is drawn to 0 (``noobject_scale``) where the predicted box overlaps no annotated one by more than
    ``thresh``. An annotated box belongs to the cell of its centre and the anchor (``anchors``, in cells) of the most
    similar shape: place (sigmoid) and logarithm of the size are drawn to it with ``box_scale`` · (2 - its area),
    objectness to the overlap (to 1 without ``rescore``) with ``object_scale``, the classes' softmax to its label with
    ``class_scale``. Over the first 12,800 images all boxes are drawn to their anchors with 0.01, too.

    L = the squares for objects by the number of objects, plus those of the other objectness by the number of
    others. The gradient is scale · (prediction - target), through the sigmoid for place and objectness only, over N.

    bottom: map (N × num_object·(5 + num_classes) × S × S); labels (N × 7·S·S values: a map not used, one of
    where boxes are, one of labels, centre x, y, width, height of each cell). top: L, a single number.
    Differs from Caffe: bottom 0 is left as it is (the fork writes sigmoids and softmax into it); a batch
    without objects gives no NaN; no averages are logged. ``constraint`` is not used, as there.
    Source: synopsys-caffe ``YoloV2Loss``; Redmon & Farhadi 2017.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"yolo_v2_loss_param": "* -constraint"}
    num_bottoms = 2
    is_loss = True
    auto_tops = True
    no_gradient = (1,)
    in_place = False
    _side_checked = False  # nets trained at several scales are given other sizes later

    def check(self, predictions: Shape, labels: Shape) -> None:
        p = self.param.yolo_v2_loss_param
        _cell_labels.check(self, predictions, labels, p.num_object, p.num_classes)
        if not self._side_checked and p.HasField("side") and p.side != predictions[2]:
            raise self.error(f"must be the map's {predictions[2]}; got {p.side}", field="side")
        self._side_checked = True
        if len(p.anchors) != 2 * p.num_object:
            raise self.error(
                f"must be width and height of num_object = {p.num_object} anchors; got {len(p.anchors)} values",
                field="anchors",
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [()]

    def carries(self, predictions: Shape, labels: Shape) -> list[Shape]:
        """How many images there were."""
        return [(1,)]

    def compute(
        self, predictions: torch.Tensor, labels: torch.Tensor, seen: torch.Tensor | None = None
    ) -> Stateful:
        p = self.param.yolo_v2_loss_param
        side = predictions.shape[2]
        x = predictions.detach().unflatten(1, (p.num_object, -1)).permute(0, 1, 3, 4, 2)
        anchors = np.reshape(p.anchors, (-1, 2)).astype(np.float32) / side
        truths = _cell_labels.truths(labels, side)
        gradient = torch.zeros_like(x, memory_format=torch.contiguous_format)
        score, classes = x[..., 4].sigmoid(), x[..., 5:].softmax(-1)
        channels = x.permute(0, 1, 4, 2, 3)
        boxes = _yolo.box_map(
            channels[:, :, :2].sigmoid(), channels[:, :, 2:4], x.new_tensor(anchors), (1, 1)
        )
        free = _yolo_loss.best_overlap(boxes, truths) <= p.thresh
        others = p.noobject_scale * float(score[free].square().sum())
        gradient[..., 4] = torch.where(free, p.noobject_scale * score * score * (1 - score), 0.0)
        objects = 0.0
        seen = x.new_zeros(1) if seen is None else seen
        early = float(seen) < _SEEN
        if early:
            place = x[..., :2].sigmoid()
            objects += 0.01 * float((place - 0.5).square().sum() + x[..., 2:4].square().sum())
            gradient[..., :2] = 0.01 * (place - 0.5) * place * (1 - place)
            gradient[..., 2:4] = 0.01 * x[..., 2:4]
        placed = _yolo_loss.place(truths, (side, side))
        count = len(placed.label)
        if count:
            placed.anchor = _yolo.shape_overlaps(placed.box[:, 2:], anchors).argmax(1)
            objects += self._answer(
                gradient, x[placed.at], score[placed.at], classes[placed.at], placed, anchors, side
            )
        value = _cell_labels.loss(predictions, gradient, objects, others, count)
        return Stateful(value, [seen + predictions.shape[0] if early else seen])

    def _answer(
        self,
        gradient: torch.Tensor,
        raw: torch.Tensor,
        score: torch.Tensor,
        classes: torch.Tensor,
        placed: _yolo_loss.Placed,
        anchors: Array,
        side: int,
    ) -> float:
        p = self.param.yolo_v2_loss_param
        own = anchors[placed.anchor]
        area = placed.box[:, 2] * placed.box[:, 3]
        wanted = _yolo_loss.targets(placed, (side, side), own)
        total, of_box = _cell_labels.drawn(raw, wanted, p.box_scale * (2 - area))
        aim = torch.ones_like(score)
        if p.rescore:
            boxes = _cell_labels.boxes_of(raw, placed, own, side)
            aim = torch.from_numpy(_yolo.overlaps(boxes, placed.box).diagonal().copy()).to(score)
        label = torch.from_numpy(placed.label).to(raw.device)
        of_class = classes - (label[:, None] == torch.arange(classes.shape[1], device=raw.device)).to(raw)
        total += p.object_scale * float((score - aim).square().sum()) + p.class_scale * float(
            of_class.square().sum()
        )
        of_score = p.object_scale * (score - aim) * score * (1 - score)
        answer = torch.cat([of_box, of_score[:, None], p.class_scale * of_class], 1)
        index = np.stack([placed.image, placed.anchor, placed.row, placed.column], 1)
        last = _yolo.last_of_each(index)
        gradient[tuple(i[last] for i in placed.at)] = answer[torch.from_numpy(last)].to(gradient)
        return total
