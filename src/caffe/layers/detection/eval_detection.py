"""EvalDetection."""

from __future__ import annotations

import numpy as np
import torch

from caffe import boxes
from caffe.blob import Shape
from caffe.boxes import Array
from caffe.layers.detection import _yolo
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

_Score = caffe_pb2.EvalDetectionParameter


class EvalDetection(TensorLayer):
    """Compares YOLO v2's predictions with annotated boxes, for the mean average precision. No gradient.

    A prediction has the label of its most probable class; its score is objectness (OBJ), the class's probability
    (PROB) or their product (MULTIPLY). With ``nms`` at least 0, worse predictions that overlap a better one of their
    label by more drop out. Best first, a prediction is right when it overlaps an annotated box of its label that is
    still free by more than ``threshold``.

    bottom: map (N × num_object·(5 + num_class) × H × W); annotations (N × … × 5: label, centre x, y, width,
    height); optionally the image. top: N × (num_class + 4·P), P = num_object·H·W: the number of boxes of each class,
    then for each prediction its label (-1 dropped), score, and 1 where it is right, 1 where it is wrong.
    Differs from Caffe: only maps with anchors (``biases``). Source: intel/caffe, yeahkun/caffe-yolo.
    """

    num_bottoms = (2, 3)
    no_gradient = (0, 1, 2)
    differentiable = False
    origin = "intel/caffe"
    reads = {"eval_detection_param": "* -sqrt -constriant"}

    def check(self, predictions: Shape, annotations: Shape, *image: Shape) -> None:
        p = self.param.eval_detection_param
        _yolo.check_map(self, predictions, p.num_object, p.num_class)
        _yolo.check_anchors(self, p.biases, p.num_object)

    def compute(
        self, predictions: torch.Tensor, annotations: torch.Tensor, *image: torch.Tensor
    ) -> torch.Tensor:
        p = self.param.eval_detection_param
        images, _, height, width = predictions.shape
        if predictions.is_meta:
            return predictions.new_empty(images, p.num_class + 4 * p.num_object * height * width)
        x = predictions.detach().float().unflatten(1, (p.num_object, -1))
        anchors = x.new_tensor(list(p.biases)).view(-1, 2)[: p.num_object]
        predicted = _yolo.box_map(x[:, :, :2].sigmoid(), x[:, :, 2:4], anchors, (width, height))
        best, label = x[:, :, 5:].softmax(2).max(2)
        objectness = x[:, :, 4].sigmoid()
        score = {_Score.OBJ: objectness, _Score.PROB: best}.get(p.score_type, best * objectness)
        places = predicted.permute(0, 1, 3, 4, 2).flatten(1, 3).cpu().numpy()
        rows = [
            self._image(*parts)
            for parts in zip(
                _yolo.corners(places),
                label.flatten(1).cpu().numpy(),
                score.flatten(1).cpu().numpy(),
                _yolo.truths(annotations, images),
            )
        ]
        return torch.from_numpy(np.stack(rows).astype(np.float32)).to(predictions.device)

    def _image(self, places: Array, label: Array, score: Array, truth: Array) -> Array:
        p = self.param.eval_detection_param
        rows = np.stack([label, score, np.zeros_like(score), np.zeros_like(score)], 1).astype(np.float32)
        own = truth[:, 0].astype(int)
        wanted = _yolo.corners(truth[:, 1:])
        for each in range(p.num_class):
            chosen = np.flatnonzero(label == each)
            chosen = chosen[boxes.by_score(score[chosen])]
            if p.nms >= 0:
                kept = chosen[boxes.suppress(places[chosen], p.nms)]
                rows[np.setdiff1d(chosen, kept), 0] = -1
                chosen = kept
            overlap = boxes.overlaps(places[chosen], wanted[own == each])
            for row, overlaps in zip(chosen, overlap):
                match = int(overlaps.argmax()) if overlaps.size else -1
                right = match >= 0 and overlaps[match] > p.threshold
                rows[row, 2 if right else 3] = 1
                if right:
                    overlap[:, match] = 0
        counts = np.bincount(own[(own >= 0) & (own < p.num_class)], minlength=p.num_class)
        return np.concatenate([counts.astype(np.float32), rows.reshape(-1)])
