"""BroadcastTo."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class BroadcastTo(TensorLayer):
    """Repeats axes of size 1 up to a shape; the last axes are the bottom's, others are put before them.

    bottom: x. top: y of ``shape``, whose sizes are x's, or x's are 1.
    Differs from Caffe: nothing known. Source: synopsys-caffe (no gradient there), as NumPy's broadcast_to.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"broadcast_to_param": "*"}
    in_place = False

    def check(self, shape: Shape) -> None:
        wanted = list(self.param.broadcast_to_param.shape)
        behind = wanted[len(wanted) - len(shape) :]
        if (
            len(wanted) < len(shape)
            or min(wanted, default=1) < 1
            or any(have not in (1, want) for have, want in zip(shape, behind))
        ):
            raise self.error(
                f"must end with the bottom's sizes {list(shape)}, those of 1 aside; got {wanted}",
                field="shape",
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x.expand(*self.param.broadcast_to_param.shape).contiguous()
