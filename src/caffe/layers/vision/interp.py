"""Interp."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


class Interp(TensorLayer):
    """Resize images by bilinear interpolation with aligned corners: position i of y is i · (in - 1) / (out -
    1) of x.

    ``pad_beg`` and ``pad_end`` (0 or negative) crop x first. The size is, by what is given: ``shrink_factor``
    s alone (in - 1) / s + 1; ``zoom_factor`` z alone in + (in - 1)(z - 1); ``height`` and ``width``; both
    factors, one after the other; ``full_zoom_factor`` z (Synopsys) in · z. ``mode: NEAREST`` (jolibrain)
    takes the pixel at the position rounded half up.

    bottom: x (N × C × H × W). top: y (N × C × H' × W').
    Differs from Caffe: NEAREST fills all images and channels, where jolibrain's CPU code fills the first
    plane only.
    Source: DeepLab v2 and hszhao/PSPNet ``Interp``.
    """

    origin = "DeepLab (deeplab-public-ver2), PSPNet (hszhao/PSPNet)"
    reads = {"interp_param": "*"}
    in_place = False

    def check(self, shape: Shape) -> None:
        p = self.param.interp_param
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes; got shape {list(shape)}")
        for field in ("pad_beg", "pad_end"):
            if getattr(p, field) > 0:
                raise self.error(f"must be 0 or negative (it crops); got {getattr(p, field)}", field=field)
        for field in ("zoom_factor", "shrink_factor", "full_zoom_factor"):
            if p.HasField(field) and getattr(p, field) < 1:
                raise self.error(f"must be at least 1; got {getattr(p, field)}", field=field)
        for size in shape[2:]:
            if size + p.pad_beg + p.pad_end < 1:
                raise self.shape_error(
                    f"cropping {-p.pad_beg} and {-p.pad_end} leaves nothing of shape {list(shape)}",
                    field="pad_beg",
                )
        if not (p.HasField("height") and p.HasField("width")):
            if not any(p.HasField(f) for f in ("zoom_factor", "shrink_factor", "full_zoom_factor")):
                raise self.error(
                    "the size is missing", fix="Give height and width, or zoom_factor, or shrink_factor"
                )
        elif not (p.HasField("zoom_factor") ^ p.HasField("shrink_factor")) and (p.height < 1 or p.width < 1):
            raise self.error(f"must be at least 1, as width; got {p.height} and {p.width}", field="height")

    def size(self, axis: int, length: int) -> int:
        """The top's size along axis 0 (height) or 1 (width) for a cropped bottom's."""
        p = self.param.interp_param
        shrink, zoom = p.HasField("shrink_factor"), p.HasField("zoom_factor")
        if shrink == zoom and p.HasField("height") and p.HasField("width"):
            return int((p.height, p.width)[axis])
        if not shrink and not zoom:
            return int(length * p.full_zoom_factor)
        if shrink:
            length = (length - 1) // p.shrink_factor + 1
        if zoom:
            length += (length - 1) * (p.zoom_factor - 1)
        return length

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.interp_param
        if p.pad_beg or p.pad_end:
            h, w = x.shape[2:]
            x = x[:, :, -p.pad_beg : h + p.pad_end, -p.pad_beg : w + p.pad_end]
        h, w = x.shape[2:]
        size = (self.size(0, h), self.size(1, w))
        if size == (h, w):
            return x.clone()
        if p.mode == p.NEAREST:
            return x.index_select(2, _nearest(h, size[0], x.device)).index_select(
                3, _nearest(w, size[1], x.device)
            )
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def _nearest(length: int, count: int, device: torch.device) -> torch.Tensor:
    ratio = (length - 1) / (count - 1) if count > 1 else 0.0
    return torch.floor(torch.arange(count, device=device) * ratio + 0.5).long().clamp_(max=length - 1)
