"""DetectionLoss."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.deferred import refuse
from caffe.errors import LayerError
from caffe.layers.loss._loss_layer import LossLayer


class DetectionLoss(LossLayer):
    """YOLO v1's loss of a grid of ``side`` × ``side`` cells that each predict classes and ``num_object`` boxes.

    Sums over cells, of squares: L = (object_scale·(1 - c)² + class_scale·|p - onehot(label)|² +
    coord_scale·|b - b̂|²) / n + noobject_scale·c² / m. The first three are of the n cells with an object; c and b
    are the confidence and box there that overlap the object's box most (where none does, whose four numbers are
    nearest); the last is of the m other boxes. ``sqrt``: widths and heights are predicted as roots;
    ``constriant``: centres as places in the cell, else in the image.

    The gradient is none of this, but scale · (value - target) / N for all of them, with the overlap as c's target.

    bottom: predictions (N × num_class·S + num_object·S + num_object·4·S, S = side²: probabilities, confidences, and
    boxes as centre x, y, width, height); annotations (N × 7·S: difficult, has an object, label, then four numbers a
    cell). top: L (scalar).
    Differs from Caffe: without any object L is the last term, there NaN.
    Source: yeahkun/caffe-yolo ``DetectionLoss``; Redmon et al. 2016.
    """

    origin = "YOLO v1 (yeahkun/caffe-yolo)"
    reads = {"detection_loss_param": "*"}

    def check(self, predictions: Shape, annotations: Shape) -> None:
        p = self.param.detection_loss_param
        for field in ("side", "num_class", "num_object"):
            if getattr(p, field) < 1:
                raise self.error(f"must be at least 1; got {getattr(p, field)}", field=field)
        self.check_items(predictions, annotations)
        for shape, values, what in (
            (predictions, p.num_class + 5 * p.num_object, "predictions"),
            (annotations, 7, "annotations"),
        ):
            wanted = p.side**2 * values
            if math.prod(shape[1:]) != wanted:
                raise self.shape_error(
                    f"the {what} must have {values} values a cell, as shape {[shape[0], wanted]} has;"
                    f" got shape {list(shape)}"
                )

    def compute(self, predictions: torch.Tensor, annotations: torch.Tensor) -> torch.Tensor:
        if predictions.is_meta:
            return predictions.new_empty(())
        p = self.param.detection_loss_param
        cells, objects = p.side**2, p.num_object
        flat, truth = predictions.flatten(1), annotations.flatten(1)
        classes, confidences, boxes = flat.split(
            [p.num_class * cells, objects * cells, 4 * objects * cells], 1
        )
        classes = classes.unflatten(1, (p.num_class, cells))
        confidences = confidences.unflatten(1, (objects, cells))
        boxes = boxes.unflatten(1, (objects, 4, cells))
        there = truth[:, cells : 2 * cells] != 0
        labels = self._labels(truth[:, 2 * cells : 3 * cells], there)
        true_boxes = truth[:, 3 * cells :].unflatten(1, (cells, 4)).transpose(1, 2)
        with torch.no_grad():
            best, overlap = self._best(boxes, true_boxes)
        wanted = self._as_predicted(true_boxes)
        chosen = torch.zeros_like(confidences).scatter(1, best.unsqueeze(1), 1.0) * there.unsqueeze(1)
        onehot = torch.zeros_like(classes).scatter(1, labels.unsqueeze(1), 1.0)
        positives = there.sum()
        count = positives.clamp(min=1).to(flat.dtype)
        others = (confidences.numel() - positives).clamp(min=1).to(flat.dtype)
        loss, carrier = predictions.new_zeros(()), predictions.new_zeros(())
        for values, target, towards, weight, divisor in (
            # values, their targets, those of their gradients, weights, by what the sum is divided
            (classes, onehot, onehot, p.class_scale * there.unsqueeze(1), count),
            (confidences, 1.0, overlap.unsqueeze(1), p.object_scale * chosen, count),
            (confidences, 0.0, 0.0, p.noobject_scale * (1 - chosen), others),
            (boxes, wanted.unsqueeze(1), wanted.unsqueeze(1), p.coord_scale * chosen.unsqueeze(2), count),
        ):
            constant = values.detach()
            loss = loss + (weight * (constant - target).square()).sum() / divisor
            carrier = carrier + (values * weight * (constant - towards)).sum() / max(len(flat), 1)
        return loss + (carrier - carrier.detach())  # the carrier's gradient only

    def _labels(self, labels: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        classes = self.param.detection_loss_param.num_class
        index = labels.long().where(there, 0)
        inside = index.clamp(0, classes - 1)

        def refusal() -> LayerError:
            image, cell = (int(i) for i in (index != inside).nonzero()[0])
            return self.error(
                f"labels must be from 0 to {classes - 1}; got {int(index[image, cell])} in cell {cell} of image"
                f" {image}",
                field="num_class",
            )

        refuse(index != inside, refusal)
        return inside

    def _places(self, like: torch.Tensor) -> torch.Tensor:
        """Column and row of each cell (2 × cells)."""
        side = self.param.detection_loss_param.side
        cell = torch.arange(side**2, device=like.device)
        return torch.stack([cell % side, torch.div(cell, side, rounding_mode="floor")]).to(like.dtype)

    def _as_predicted(self, true_boxes: torch.Tensor) -> torch.Tensor:
        """True boxes (N × 4 × cells) as the net is to give them."""
        p = self.param.detection_loss_param
        centres, sizes = true_boxes.split(2, 1)
        if p.constriant:
            centres = centres * p.side - self._places(centres)
        return torch.cat([centres, sizes.clamp(min=0).sqrt() if p.sqrt else sizes], 1)

    def _best(self, boxes: torch.Tensor, true_boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which box of each cell is compared with its object, and how far the two overlap (N × cells each)."""
        p = self.param.detection_loss_param
        centres, sizes = boxes.split(2, 2)
        if p.constriant:
            centres = (self._places(centres) + centres) / p.side
        if p.sqrt:
            sizes = sizes.square()
        true_centres, true_sizes = true_boxes.unsqueeze(1).split(2, 2)
        high = torch.minimum(centres + sizes / 2, true_centres + true_sizes / 2)
        low = torch.maximum(centres - sizes / 2, true_centres - true_sizes / 2)
        sides = high - low
        both = sides.prod(2)
        union = sizes.prod(2) + true_sizes.prod(2) - both
        overlap = torch.where((sides < 0).any(2), 0.0, both / union).nan_to_num(0.0)
        apart = (torch.cat([centres, sizes], 2) - true_boxes.unsqueeze(1)).square().sum(2)
        most, best = overlap.max(1)
        least, nearest = apart.min(1)
        nearest = nearest.where(least < 400, 0)  # of boxes farther than 20, the fork takes the first
        return best.where(most > 0, nearest), most.clamp(min=0)
