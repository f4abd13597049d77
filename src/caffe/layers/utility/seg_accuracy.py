"""SegAccuracy."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.loss._labels import measured_labels
from caffe.tensor_layer import TensorLayer


class SegAccuracy(TensorLayer):
    """How well each pixel's class is found: accuracy, mean recall and mean intersection over union.

    The recall's mean is over the classes that have pixels. The intersection over union of class c is that of
    the pixels labelled c and those predicted c, 1 where there are neither. Labels among ``ignore_label`` are
    left out. Of equal scores the later class is taken. Without ``reset`` pixels are counted on from forward
    to forward.

    bottom: scores (N × C × H × W); labels (N × 1 × H × W).
    top: accuracy, mean recall, mean intersection over union (1 × 1 × 1 × 3). No gradient.
    Differs from Caffe: all three are given whatever ``metric``, as in DeepLab v2.
    Source: DeepLab v2 (also in hszhao/PSPNet) ``SegAccuracy``; Chen et al. 2016.
    """

    num_bottoms = 2
    no_gradient = (0, 1)
    differentiable = False
    in_place = False
    origin = "DeepLab (deeplab-public-ver2), PSPNet (hszhao/PSPNet)"
    reads = {"seg_accuracy_param": "*"}
    counts: torch.Tensor | None = None
    """Pixels by label (rows; the last for labels outside the classes) and prediction (columns)."""

    def check(self, scores: Shape, labels: Shape) -> None:
        if len(scores) != 4 or labels != (scores[0], 1, *scores[2:]):
            raise self.shape_error(
                f"the bottoms must be scores N×C×H×W and labels N×1×H×W; got shapes {list(scores)} and"
                f" {list(labels)}"
            )

    def compute(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        classes, ignored = scores.shape[1], list(self.param.seg_accuracy_param.ignore_label)
        kept = torch.ones_like(labels, dtype=torch.bool)
        for label in ignored:
            kept &= labels.long() != label
        index, known = measured_labels(self, labels.where(kept, 0), scores, 1)
        index = index.where(known, classes)  # a row of their own, and no column
        predicted = classes - 1 - scores.flip(1).argmax(1, keepdim=True)
        cells = (index * classes + predicted).flatten()
        counts = torch.zeros((classes + 1) * classes, dtype=torch.float64, device=scores.device)
        counts = counts.index_add(0, cells, kept.flatten().to(counts.dtype)).reshape(classes + 1, classes)
        if not scores.is_meta and not self.param.seg_accuracy_param.reset:
            if self.counts is not None:
                counts = counts + self.counts.to(counts.device)
            self.counts = counts
        right, rows, columns = counts.diagonal(), counts.sum(1)[:classes], counts.sum(0)
        union = rows + columns - right
        accuracy = right.sum() / counts.sum().clamp(min=1)
        recall = (right / rows.clamp(min=1)).sum() / (rows > 0).sum().clamp(min=1)
        overlap = torch.where(union > 0, right / union.clamp(min=1), 1.0).mean()
        return torch.stack([accuracy, recall, overlap]).to(scores.dtype).reshape(1, 1, 1, 3)
