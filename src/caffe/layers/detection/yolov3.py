"""Yolov3."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import Array
from caffe.layers.detection import _yolo, _yolo_loss
from caffe.tensor_layer import TensorLayer


class Yolov3(TensorLayer):
    """The loss of one map of YOLO v3: L = Σ d² / N over differences d = prediction - target, set by hand.

    Objectness is drawn to 0 where the predicted box overlaps no annotated one by more than ``thresh``. An
    annotated box belongs to the anchor (``biases``, in pixels, of which a cell has ``anchors_scale``) of the
    most similar shape; if that is among ``mask``, the prediction of its centre's cell is drawn to it: place
    and size by ``coord_scale`` · (2 - its area), objectness to 1, the sigmoid of its label to 1 and of others
    to 0 (``class_scale``). With ``use_logic_gradient`` objectness counts ``object_scale``.

    The gradient is d / N, with ``use_logic_gradient`` times the sigmoids' derivative; not the derivative of
    L.
    bottom: map (N × num·(5 + classes) × H × W), annotations (N × … × 5) rows label, centre x, y, width,
    height.
    top: L, a single number.
    Differs from Caffe: where two annotated boxes want one prediction, the label of the first is drawn to 1
    too (eric612's draws it away from there); no averages are logged.
    Source: eric612/MobileNet-YOLO ``Yolov3``; Redmon & Farhadi 2018.
    """

    origin = "MobileNet-YOLO (eric612/MobileNet-YOLO)"
    reads = {"yolov3_param": "* -use_focal_loss"}
    num_bottoms = 2
    is_loss = True
    auto_tops = True
    no_gradient = (1,)
    in_place = False

    def check(self, predictions: Shape, annotations: Shape) -> None:
        p = self.param.yolov3_param
        _yolo.check_map(self, predictions, p.num, p.num_class)
        if len(p.mask) < p.num:
            raise self.error(f"must have num = {p.num} values; got {len(p.mask)}", field="mask")
        _yolo.check_anchors(self, p.biases, max(p.mask) + 1)

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [()]

    def compute(self, predictions: torch.Tensor, annotations: torch.Tensor) -> torch.Tensor:
        p = self.param.yolov3_param
        size = (predictions.shape[2], predictions.shape[3])
        x = predictions.detach().unflatten(1, (p.num, -1))
        anchors = np.reshape(p.biases, (-1, 2)).astype(np.float32)
        unit = (size[1] * p.anchors_scale, size[0] * p.anchors_scale)
        mask = np.array(p.mask[: p.num])
        active = x.sigmoid()
        boxes = _yolo.box_map(active[:, :, :2], x[:, :, 2:4], x.new_tensor(anchors[mask]), unit)
        truths = _yolo.truths(annotations, x.shape[0])
        d = torch.zeros_like(x)
        d[:, :, 4] = active[:, :, 4]
        d[:, :, 4][_yolo_loss.best_overlap(boxes, truths) > p.thresh] = 0
        shapes = anchors / np.array(unit, np.float32)
        self._answer(
            d, torch.cat([active[:, :, :2], x[:, :, 2:4], active[:, :, 4:]], 2), truths, shapes, mask
        )
        gradient = d
        if p.use_logic_gradient:
            slope = active * (1 - active)
            slope[:, :, 2:4] = 1
            gradient = d * slope
        return _yolo_loss.with_gradient(predictions, d.flatten(1, 2), gradient.flatten(1, 2))

    def _answer(
        self,
        d: torch.Tensor,
        x: torch.Tensor,
        found: list[Array],
        shapes: Array,
        mask: Array,
    ) -> None:
        """Set the differences of the predictions that answer for annotated boxes."""
        p = self.param.yolov3_param
        size = (x.shape[-2], x.shape[-1])
        placed = _yolo_loss.place(found, size)
        if not len(placed.image):
            return
        best = _yolo.shape_overlaps(placed.box[:, 2:], shapes).argmax(1)
        placed.anchor = np.array([int(np.flatnonzero(mask == b)[0]) if b in mask else -1 for b in best])
        everyone = placed[np.flatnonzero(placed.anchor >= 0)]
        if not len(everyone.image):
            return
        places = np.stack([everyone.image, everyone.anchor, everyone.row, everyone.column], 1)
        placed = everyone[_yolo.last_of_each(places)]
        mine = x.movedim(2, -1)[placed.at]
        wanted = x.new_tensor(_yolo_loss.targets(placed, size, shapes[mask[placed.anchor]]))
        scale = p.coord_scale * (2 - x.new_tensor(placed.box[:, 2:].prod(1)))[:, None]
        labels = torch.zeros_like(x[:, :, 5:]).movedim(2, -1)
        labels[(*everyone.at, torch.from_numpy(everyone.label))] = 1
        object_scale = p.object_scale if p.use_logic_gradient else 1.0
        d.movedim(2, -1)[placed.at] = torch.cat(
            [
                -scale * (wanted - mine[:, :4]),
                -object_scale * (1 - mine[:, 4:5]),
                -p.class_scale * (labels[placed.at] - mine[:, 5:]),
            ],
            1,
        )
