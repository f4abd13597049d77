"""What CTC layers share: the labels of sequences, the loss, the greedy reading."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.deferred import refuse
from caffe.errors import LayerError
from caffe.layer import Layer


def label_sequences(
    layer: Layer, labels: torch.Tensor, blank: int, classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (N × L) without the blanks, moved to the front, and how many there are of each (N).

    A label outside the classes raises LayerError.
    """
    labels = labels.long()
    wrong = ((labels < 0) & (labels != blank)) | (labels >= classes)

    def refusal() -> LayerError:
        row, column = (int(i) for i in wrong.nonzero()[0])
        return layer.error(
            f"labels must be from 0 to {classes - 1}; got {int(labels[row, column])} in sequence {row} at place"
            f" {column}",
            fix="Correct the labels, or the number of outputs of the layer below",
        )

    refuse(wrong, refusal)
    kept = labels != blank
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
    return labels.gather(1, order).clamp(0, classes - 1), kept.sum(1)


def ctc_loss(x: torch.Tensor, targets: torch.Tensor, lengths: torch.Tensor, blank: int) -> torch.Tensor:
    """The mean loss over sequences of scores (T × N × C), with the gradient of their sum, as warp-ctc's
    is."""
    steps, count, _ = x.shape
    times = torch.full((count,), steps, dtype=torch.long, device=x.device)
    each = F.ctc_loss(
        torch.log_softmax(x, 2), targets, times, lengths, blank=blank, reduction="none", zero_infinity=True
    )
    total = each.sum()
    return (total / max(count, 1)).detach() + total - total.detach()


def greedy(x: torch.Tensor, blank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best path of scores (T × N × C) with repetitions and blanks left out: N × T, -1 behind the end;
    lengths."""
    path = x.argmax(2).t()  # N × T
    repeated = torch.zeros_like(path, dtype=torch.bool)
    repeated[:, 1:] = path[:, 1:] == path[:, :-1]
    kept = ~repeated & (path != blank)
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
    labels = torch.where(kept, path, -1).gather(1, order)
    return labels, kept.sum(1)
