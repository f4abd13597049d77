"""Filter."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, TensorLayer


class Filter(TensorLayer):
    """Keeps the items of a batch whose selector is not 0, in order.

    With ``num_output`` (yihui-he/caffe-pro, for pruned nets) it keeps channels: the first num_output of those
    whose selector, a parameter, is not 0.

    bottom: x₁, x₂, … (N × … each); selector (N, or N × 1 × …), without a gradient. With ``num_output``
    only x₁, … (N × C × … each).
    top: y₁, y₂, … (M × … each), M the number of selected items, known only after forward; N × num_output × ….
    blobs: none; with ``num_output`` the selector (C), ones at first, which does not learn.
    Differs from Caffe: selecting nothing gives tops without items, also in backward.
    Source: BVLC ``Filter``, yihui-he/caffe-pro; He et al. 2017.
    """

    num_bottoms = (1, None)
    num_tops = (1, None)
    reads = {"filter_param": "*"}

    def __init__(self, param: caffe_pb2.LayerParameter) -> None:
        super().__init__(param)
        self._channels = param.filter_param.num_output
        if not self._channels:
            self.no_gradient = (len(param.bottom) - 1,)  # type: ignore[misc]

    def declare(self, *shapes: Shape) -> list[BlobSpec]:
        one = caffe_pb2.FillerParameter(type="constant", value=1)
        return [BlobSpec((shapes[0][1],), one, learns=False)] if self._channels else []

    def _check_channels(self, *shapes: Shape) -> None:
        if self.top_count != len(shapes):
            raise self.error(
                f"takes one top for each bottom; got {len(shapes)} bottoms and {self.top_count} tops",
                field="top",
            )
        for i, shape in enumerate(shapes):
            if len(shape) < 2 or shape[1] != shapes[0][1] or shape[1] < self._channels:
                raise self.shape_error(
                    f"bottom {i} must have as many channels as the others, {self._channels} or more;"
                    f" got shape {list(shape)}",
                    field="num_output",
                )

    def check(self, *shapes: Shape) -> None:
        if self.param.filter_param.channel:
            raise self.error(
                "is not computed by here", field="channel", fix="Give num_output and the selector"
            )
        if self._channels:
            self._check_channels(*shapes)
            return
        if len(shapes) < 2:
            raise self.error(
                f"takes at least 2 bottom blob(s); got {len(shapes)}",
                field="bottom",
                fix="Give the selector as the last bottom",
            )
        *others, selector = shapes
        if self.top_count != len(others):
            raise self.error(
                f"takes one top for each bottom but the last; got {len(shapes)} bottoms and"
                f" {self.top_count} tops",
                field="top",
            )
        if not selector or any(size != 1 for size in selector[1:]):
            raise self.shape_error(
                f"the selector, the last bottom, must have shape N or N × 1 × …; got {list(selector)}"
            )
        for i, shape in enumerate(others):
            if not shape or shape[0] != selector[0]:
                raise self.shape_error(
                    f"bottom {i} must have as many items as the selector, {selector[0]};"
                    f" got shape {list(shape)}"
                )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        """As if all were selected."""
        if self._channels:
            return [(shape[0], self._channels, *shape[2:]) for shape in shapes]
        return shapes[:-1]

    def compute(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self._channels:
            places = bottoms[-1].nonzero().reshape(-1)[: self._channels]
            if len(places) < self._channels:
                raise self.error(
                    f"must be the number of selected channels, {len(places)}; got {self._channels}",
                    field="num_output",
                )
            return tuple(x.index_select(1, places) for x in bottoms[:-1])
        places = bottoms[-1].reshape(-1).nonzero().reshape(-1)
        return tuple(x.index_select(0, places) for x in bottoms[:-1])
