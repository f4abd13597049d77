"""MirrorPad."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.utility._paddings import check_paddings
from caffe.tensor_layer import TensorLayer


class MirrorPad(TensorLayer):
    """Continues the bottom beyond its borders: paddings[2i] values before and paddings[2i + 1] after axis i.

    ``mode`` REFLECT mirrors at the border's value, SYMMETRIC beside it, EDGE repeats it, CONSTANT (default)
    gives ``constant_values``.

    bottom: x. top: each axis with its paddings.
    Differs from Caffe: nothing known. Source: synopsys-caffe.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"mirror_pad_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.mirror_pad_param
        check_paddings(self, list(p.paddings), shape)
        most = {"REFLECT": -1, "SYMMETRIC": 0, "EDGE": None, "CONSTANT": None}
        if p.mode not in most:
            raise self.error(f"must be REFLECT, SYMMETRIC, EDGE or CONSTANT; got '{p.mode}'", field="mode")
        for i, size in enumerate(p.paddings):
            limit = most[p.mode]
            if limit is not None and size > shape[i // 2] + limit:
                raise self.error(
                    f"must be at most {shape[i // 2] + limit} on axis {i // 2} for mode {p.mode}; got {size}",
                    field="paddings",
                )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.mirror_pad_param
        pairs = list(zip(p.paddings[::2], p.paddings[1::2]))
        if p.mode == "CONSTANT":
            return F.pad(x, [size for pair in reversed(pairs) for size in pair], value=p.constant_values)
        for axis, (before, after) in enumerate(pairs):
            if before or after:
                size = x.shape[axis]
                place = torch.arange(-before, size + after, device=x.device)
                if p.mode == "EDGE":
                    place = place.clamp(0, size - 1)
                else:
                    beside = 1 if p.mode == "SYMMETRIC" else 0
                    place = torch.where(place < 0, -place - beside, place)
                    place = torch.where(place >= size, 2 * (size - 1) + beside - place, place)
                x = x.index_select(axis, place)
        return x
