"""What losses share: one scalar top of weight 1, labels without a gradient, and by what a loss is divided."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from caffe.blob import Shape
from caffe.layer import Count
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

_Modes = caffe_pb2.LossParameter


class LossLayer(TensorLayer):
    """A loss of predictions (bottom 0) against labels or targets (bottom 1)."""

    num_bottoms: ClassVar[Count] = 2
    num_tops: ClassVar[Count] = 1
    is_loss = True
    auto_tops = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)

    def check_items(self, *shapes: Shape) -> None:
        """Raise ShapeError unless all bottoms have the same number of items, their first axis."""
        if any(not s or s[0] != shapes[0][0] for s in shapes):
            listed = " and ".join(str(list(s)) for s in shapes)
            raise self.shape_error(f"the bottoms must have the same first dimension; got shapes {listed}")

    def check_labels(self, scores: Shape, labels: Shape, axis: int) -> None:
        """Raise ShapeError unless there is a label for each vector of scores along ``axis``."""
        self.check_items(scores, labels)
        if math.prod(labels) != math.prod(scores[:axis]) * math.prod(scores[axis + 1 :]):
            raise self.shape_error(
                f"the number of labels must be the number of scores without axis {axis}; got scores of shape"
                f" {list(scores)} and labels of shape {list(labels)}",
                fix="For scores N×C×H×W and axis 1 the labels are N×H×W whole numbers from 0 to C-1",
            )

    def ignored(self) -> int | None:
        """The label that does not count, if there is one."""
        p = self.param.loss_param
        return p.ignore_label if p.HasField("ignore_label") else None

    def mode(self, default: int | None = None) -> int:
        """The normalization asked for, by ``normalization`` or the older ``normalize``; else the default."""
        p = self.param.loss_param
        if not p.HasField("normalization"):
            if p.HasField("normalize"):
                return _Modes.VALID if p.normalize else _Modes.BATCH_SIZE
            if default is not None:
                return default
        return p.normalization

    def divisor(
        self, mode: int, outer: int, inner: int, counted: torch.Tensor | None
    ) -> torch.Tensor | float:
        """By what the summed loss is divided, at least 1.

        ``outer`` positions before the classes' axis, ``inner`` after it; ``counted`` is 1 where a label
        counts and 0 where it is ignored (None: all count).
        """
        if mode == _Modes.NONE:
            return 1.0
        if mode == _Modes.BATCH_SIZE:
            return float(max(outer, 1))
        if mode == _Modes.PRE_FIXED:
            return max(self.param.loss_param.pre_fixed_normalizer, 1.0)
        if mode == _Modes.VALID and counted is not None:
            return counted.sum().clamp(min=1)
        return float(max(outer * inner, 1))
