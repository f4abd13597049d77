"""YoloV3Loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import Array
from caffe.layers.detection import _cell_labels, _yolo, _yolo_loss
from caffe.layers.detection._yolo_loss import Placed
from caffe.tensor_layer import TensorLayer

_STRIDES = {6: 32, 3: 16, 0: 8}
"""By the first of ``mask``: pixels of the image a cell."""


class YoloV3Loss(TensorLayer):
    """The loss of one map of YOLO v3 for annotations cell by cell, its gradient set by hand.

    Objectness is drawn to 0, but for no gradient where the predicted box overlaps an annotated one by more
    than ``ignore_thresh``. An annotated box belongs to the anchor (``anchors``, in pixels) of the most similar
    shape; if that is among ``mask``, the prediction of its centre's cell is drawn to it: place (sigmoid) and
    logarithm of the size with 2 - its area, objectness to 1, the sigmoid of its label to 1 and those of others
    to 0 (where two boxes want one prediction, the second only draws its label). Beyond ``truth_thresh`` (1:
    never) a predicted box is drawn to the annotated one that it overlaps most, wherever that is.

    L = the squares for objects by the number of objects, plus those of all objectness by the number of others.
    The gradient is prediction - target, through the sigmoid for place and objectness only, over N. The image
    has 32, 16 or 8 pixels a cell where mask begins with 6, 3 or 0, else ``net_w`` × ``net_h``.

    bottom: map (N × num_object·(5 + num_classes) × S × S); labels (N × 7·S·S values, as of YoloV2Loss).
    top: L, a single number.
    Differs from Caffe: bottom 0 is left as it is (the fork writes sigmoids into it); a map without objects
    gives no NaN; no averages are logged.
    Source: synopsys-caffe ``YoloV3Loss``; Redmon & Farhadi 2018.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"yolo_v3_loss_param": "*"}
    num_bottoms = 2
    is_loss = True
    auto_tops = True
    no_gradient = (1,)
    in_place = False
    _side_checked = False  # nets trained at several scales are given other sizes later

    def check(self, predictions: Shape, labels: Shape) -> None:
        p = self.param.yolo_v3_loss_param
        _cell_labels.check(self, predictions, labels, p.num_object, p.num_classes)
        if not self._side_checked and p.HasField("side") and p.side != predictions[2]:
            raise self.error(f"must be the map's {predictions[2]}; got {p.side}", field="side")
        self._side_checked = True
        if len(p.mask) != p.num_object:
            raise self.error(f"must have num_object = {p.num_object} values; got {len(p.mask)}", field="mask")
        if len(p.anchors) < 2 * max(p.total_object, *p.mask, 0):
            raise self.error(
                f"must be width and height of total_object = {p.total_object} anchors; got {len(p.anchors)} values",
                field="anchors",
            )
        if p.mask[0] not in _STRIDES and (p.net_w < 1 or p.net_h < 1):
            raise self.error(
                "must be given, as must net_h, where mask begins with none of 0, 3 and 6", field="net_w"
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [()]

    def compute(self, predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        p = self.param.yolo_v3_loss_param
        side = predictions.shape[2]
        stride = _STRIDES.get(p.mask[0])
        pixels = (side * stride, side * stride) if stride else (p.net_w, p.net_h)
        anchors = np.reshape(p.anchors, (-1, 2)).astype(np.float32) / np.array(pixels, np.float32)
        mask = np.array(p.mask)
        x = predictions.detach().unflatten(1, (p.num_object, -1)).permute(0, 1, 3, 4, 2)
        truths = _cell_labels.truths(labels, side)
        channels = x.permute(0, 1, 4, 2, 3)
        boxes = _yolo.box_map(
            channels[:, :, :2].sigmoid(), channels[:, :, 2:4], x.new_tensor(anchors[mask]), (1, 1)
        )
        score = x[..., 4].sigmoid()
        gradient = torch.zeros_like(x, memory_format=torch.contiguous_format)
        best = _yolo_loss.best_overlap(boxes, truths)
        gradient[..., 4] = torch.where(best > p.ignore_thresh, 0.0, score * score * (1 - score))
        placed = _yolo_loss.place(truths, (side, side))
        shapes = _yolo.shape_overlaps(placed.box[:, 2:], anchors[: p.total_object])
        owner = shapes.argmax(1) if len(placed.label) else np.zeros(0, np.int64)
        at_mask = [np.flatnonzero(mask == o) for o in owner]
        chosen = np.array([len(m) > 0 for m in at_mask], bool)
        placed = placed[chosen]
        placed.anchor = np.array([m[0] for m in at_mask if len(m)], np.int64)
        near = self._near(boxes, best, truths)
        objects = sum(
            self._answer(gradient, x, part, anchors[mask], side, part is placed) for part in (near, placed)
        )
        others = float(score.square().sum())
        return _cell_labels.loss(predictions, gradient, objects, others, len(placed.label))

    def _near(self, boxes: torch.Tensor, best: torch.Tensor, found: list[Array]) -> Placed:
        """The predictions that overlap an annotated box beyond ``truth_thresh``, with that box."""
        image, anchor, row, column = (
            i.cpu().numpy() for i in (best > self.param.yolo_v3_loss_param.truth_thresh).nonzero().unbind(1)
        )
        host = boxes.permute(0, 1, 3, 4, 2).float().cpu().numpy()[image, anchor, row, column]
        rows = np.zeros((len(image), 5), np.float32)
        for i, one in enumerate(host):
            truths = found[image[i]]
            rows[i] = truths[_yolo.overlaps(one[None], truths[:, 1:])[0].argmax()]
        order = np.lexsort((anchor, column, row, image))
        near = Placed(image, anchor, row, column, rows[:, 0].astype(np.int64), rows[:, 1:])
        return near[order]

    def _answer(
        self, gradient: torch.Tensor, x: torch.Tensor, placed: Placed, anchors: Array, side: int, owned: bool
    ) -> float:
        """Draw predictions to boxes; the loss. ``owned`` by their boxes: with the loss of objectness."""
        if not len(placed.label):
            return 0.0
        raw = x[placed.at]
        wanted = _yolo_loss.targets(placed, (side, side), anchors[placed.anchor])
        total, of_box = _cell_labels.drawn(raw, wanted, 2 - placed.box[:, 2] * placed.box[:, 3])
        score = raw[:, 4].sigmoid()
        of_score = (score - 1) * score * (1 - score)
        if owned:
            total += float((score - 1).square().sum())
        label = torch.from_numpy(placed.label).to(raw.device)
        classes = raw[:, 5:].sigmoid()
        of_class = classes - (label[:, None] == torch.arange(classes.shape[1], device=raw.device)).to(raw)
        for i, at in enumerate(zip(*(index.tolist() for index in placed.at))):
            answer = gradient[at]
            answer[:4], answer[4] = of_box[i], of_score[i]
            if answer[5] == 0:
                answer[5:] = of_class[i]
                total += float(of_class[i].square().sum())
            elif 0 <= placed.label[i] < len(answer) - 5:
                answer[5 + placed.label[i]] = classes[i, placed.label[i]] - 1
        return total
