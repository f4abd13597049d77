"""Filter."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class Filter(TensorLayer):
    """Keeps the items of a batch whose selector is not 0, in order.

    bottom: x₁, x₂, … (N × … each); selector (N, or N × 1 × …), without a gradient.
    top: y₁, y₂, … (M × … each), M the number of selected items, known only after forward.
    Differs from Caffe: selecting nothing gives tops without items, also in backward. Source: BVLC ``Filter``.
    """

    num_bottoms = (2, None)
    num_tops = (1, None)

    def __init__(self, param: caffe_pb2.LayerParameter) -> None:
        super().__init__(param)
        self.no_gradient = (len(param.bottom) - 1,)  # type: ignore[misc]

    def check(self, *shapes: Shape) -> None:
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
        return shapes[:-1]

    def compute(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        places = bottoms[-1].reshape(-1).nonzero().reshape(-1)
        return tuple(x.index_select(0, places) for x in bottoms[:-1])
