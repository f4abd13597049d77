"""InfogainLoss."""

from __future__ import annotations

import math

import numpy as np
import torch

from caffe.blob import Shape
from caffe.errors import CorruptDataError, MissingFileError
from caffe.layers.loss._floor import at_least
from caffe.layers.loss._labels import class_labels
from caffe.layers.loss._loss_layer import LossLayer
from caffe.proto import caffe_pb2


class InfogainLoss(LossLayer):
    """Logistic loss of the softmax of scores, weighted by a matrix: L = -Σ Σ_k H[label, k] ·
    log(softmax(x)[k]) / Z.

    With H the identity it is SoftmaxWithLoss, whose Z (by ``loss_param.normalization``) and ``ignore_label``
    it shares. A probability counts as at least 1e-20.

    In forks from before 2017 (the field ``probabilities``, which ``dialect=`` sets) bottom 0 holds probabilities p,
    not scores: L = -Σ Σ_k H[label, k] · log p[k] / N, and no label is ignored.

    bottom: scores x (… × C at ``axis`` × …); labels, as many as scores without that axis; optionally H (C·C
    values), else H is read from ``source``, a BlobProto. top: L (scalar); optionally the softmax, of x's
    shape.
    Differs from Caffe: labels outside the classes are an error. Source: BVLC ``InfogainLoss``.
    """

    num_bottoms = (2, 3)
    num_tops = (1, 2)
    no_gradient = (1, 2)
    reads = {"loss_param": "* pre_fixed_normalizer", "infogain_loss_param": "*"}

    _matrix: torch.Tensor | None = None

    def check(self, scores: Shape, labels: Shape, matrix: Shape | None = None) -> None:
        axis = self.axis(self.param.infogain_loss_param.axis, scores)
        self.check_labels(scores, labels, axis)
        if self.param.loss_param.HasField("normalize"):
            raise self.error("must not be given for this layer", field="normalize", fix="Use normalization")
        if matrix is None:
            if self._matrix is None:
                self._matrix = self._read()
            matrix = tuple(self._matrix.shape)
        if math.prod(matrix) != scores[axis] ** 2:
            raise self.shape_error(
                f"the infogain matrix must have {scores[axis]} × {scores[axis]} values for scores of shape"
                f" {list(scores)}; got shape {list(matrix)}"
            )

    def _read(self) -> torch.Tensor:
        source = self.param.infogain_loss_param.source
        if not source:
            raise self.error("must be given where the matrix is no third bottom", field="source")
        try:
            with open(source, "rb") as file:
                blob = caffe_pb2.BlobProto.FromString(file.read())
        except FileNotFoundError:
            raise MissingFileError(f"No such file: '{source}'", layer=self.name, field="source") from None
        except Exception as error:
            raise CorruptDataError(
                f"'{source}' must be a BlobProto (.binaryproto): {error}", layer=self.name, field="source"
            ) from error
        return torch.from_numpy(np.array(blob.data or blob.double_data, np.float32))

    def _of_probabilities(
        self, p: torch.Tensor, labels: torch.Tensor, matrix: torch.Tensor | None
    ) -> torch.Tensor:
        items = p.flatten(1)
        index, _ = class_labels(self, labels, items, 1)
        rows = self._rows(matrix, index.squeeze(1), items)
        least = items + (items.clamp(min=1e-20) - items).detach()  # with a gradient below the least, too
        return -(torch.log(least) * rows).sum() / max(len(items), 1)

    def _rows(self, matrix: torch.Tensor | None, index: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        if matrix is None:
            matrix = (self._read() if self._matrix is None else self._matrix).to(like.device)
        classes = math.isqrt(matrix.numel())
        return matrix.to(like.dtype).reshape(classes, classes)[index]

    def compute(
        self, scores: torch.Tensor, labels: torch.Tensor, matrix: torch.Tensor | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if self.param.infogain_loss_param.probabilities:
            return self._of_probabilities(scores, labels, matrix)
        axis = self.axis(self.param.infogain_loss_param.axis, tuple(scores.shape))
        index, counted = class_labels(self, labels, scores, axis, self.ignored())
        rows = self._rows(matrix, index.squeeze(axis), scores).movedim(-1, axis)
        terms = at_least(torch.log_softmax(scores, axis), math.log(1e-20)) * rows
        if counted is not None:
            terms = terms * counted
        outer, inner = math.prod(scores.shape[:axis]), math.prod(scores.shape[axis + 1 :])
        loss = -terms.sum() / self.divisor(self.mode(), outer, inner, counted)
        if self.top_count < 2:
            return loss
        return loss, torch.softmax(scores.detach(), axis)
