"""BatchReindex."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.deferred import refuse
from caffe.errors import LayerError
from caffe.tensor_layer import TensorLayer


class BatchReindex(TensorLayer):
    """Picks items of a batch, in any order and any number of times: y[i] = x[index[i]].

    bottom: x (N × …); index (M), values from 0 to N - 1, without a gradient. top: y (M × …).
    Differs from Caffe: nothing known. Source: BVLC ``BatchReindex``.
    """

    num_bottoms = 2
    no_gradient = (1,)

    def check(self, x: Shape, index: Shape) -> None:
        if not x:
            raise self.shape_error("needs a first bottom of at least 1 axis; got a scalar")
        if len(index) != 1:
            raise self.shape_error(f"the second bottom, the index, must have 1 axis; got shape {list(index)}")

    def compute(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        places = index.long()
        wrong = (index < 0) | (index >= x.shape[0])

        def refusal() -> LayerError:
            i = int(wrong.nonzero()[0])
            return self.error(
                f"the index must be from 0 to {x.shape[0] - 1}, the batch being {x.shape[0]}; got"
                f" {index[i].item():g} at position {i}"
            )

        refuse(wrong, refusal)
        return x.index_select(0, places.clamp(0, max(x.shape[0] - 1, 0)))
