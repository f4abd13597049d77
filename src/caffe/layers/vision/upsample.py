"""Upsample."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.deferred import refuse
from caffe.tensor_layer import TensorLayer

MASKED = ("scale_h", "scale_w", "pad_out_h", "pad_out_w", "upsample_h", "upsample_w")
SIZED = ("height", "width", "height_scale", "width_scale", "mode")


class Upsample(TensorLayer):
    """Enlarge images; three layers of one name, told apart by their fields and bottoms.

    SegNet's has a mask as second bottom, which a max pooling wrote: y is 0 except for y[mask[i]] = x[i] in
    every H·W plane. Its size is ``upsample_h`` × ``upsample_w``, else x's times ``scale`` (or ``scale_h``,
    ``scale_w``), less one row or column with ``pad_out_h``, ``pad_out_w``.

    eric612's has one bottom and ``scale`` (1 unless given): every pixel is repeated.

    The one with ``height`` and ``width``, or ``height_scale`` and ``width_scale``, or a second bottom of the
    size wanted, takes the nearest pixel or interpolates (``mode: BILINEAR``, corners aligned).

    bottom: x (N × C × H × W), [mask of x's shape]. top: y (N × C × H' × W').
    Differs from Caffe: SegNet's backward works with ``upsample_h`` and ``upsample_w`` too.
    Source: alexgkendall/caffe-segnet, eric612/MobileNet-YOLO and Wulingtian/yolov5_caffe ``Upsample``.
    """

    origin = "SegNet (alexgkendall/caffe-segnet), MobileNet-YOLO (eric612/MobileNet-YOLO), several forks"
    reads = {"upsample_param": "*"}
    num_bottoms = (1, 2)
    zero_gradient = (1,)
    in_place = False

    @property
    def sized(self) -> bool:
        """Whether the fields are those of the third layer."""
        return any(self.param.upsample_param.HasField(f) for f in SIZED)

    def check(self, x: Shape, second: Shape | None = None) -> None:
        p = self.param.upsample_param
        masked = [f for f in MASKED if p.HasField(f)]
        if len(x) != 4:
            raise self.shape_error(f"the bottom must have 4 axes; got shape {list(x)}")
        if self.sized:
            mixed = [*masked, *(["scale"] if p.HasField("scale") else [])]
            if mixed:
                other = next(f for f in SIZED if p.HasField(f))
                raise self.error(
                    f"and {other} are fields of different forks", field=mixed[0], fix="Use those of one fork"
                )
            if second is None and not any(
                p.HasField(a) and p.HasField(b)
                for a, b in (("height", "width"), ("height_scale", "width_scale"))
            ):
                raise self.error("height and width, or height_scale and width_scale, must both be given")
        elif second is None:
            if masked:
                raise self.error(
                    "is SegNet's, which needs the mask of a pooling as second bottom; got one bottom",
                    field=masked[0],
                )
            if p.HasField("scale") and p.scale < 1:
                raise self.error(f"must be at least 1; got {p.scale}", field="scale")
        else:
            self._check_masked(x, second)

    def _check_masked(self, x: Shape, mask: Shape) -> None:
        p = self.param.upsample_param
        if mask != x:
            raise self.shape_error(f"the mask must have the shape of bottom 0, {list(x)}; got {list(mask)}")
        if p.HasField("upsample_h") != p.HasField("upsample_w"):
            raise self.error("upsample_h and upsample_w must both be given")
        if p.HasField("upsample_h"):
            sizes = {"upsample_h": p.upsample_h, "upsample_w": p.upsample_w}
        elif p.HasField("scale_h") or p.HasField("scale_w"):
            if p.HasField("scale"):
                raise self.error("and scale_h or scale_w exclude each other", field="scale")
            sizes = {"scale_h": p.scale_h, "scale_w": p.scale_w}
        else:
            sizes = {"scale": p.scale}
        for field, value in sizes.items():
            if value < 2:
                raise self.error(f"must be at least 2; got {value}", field=field)
        if not p.HasField("upsample_h"):
            for pad, scale in (("pad_out_h", p.scale_h or p.scale), ("pad_out_w", p.scale_w or p.scale)):
                if getattr(p, pad) and scale != 2:
                    raise self.error(f"needs a scale of 2; got {scale}", field=pad)

    def compute(self, x: torch.Tensor, second: torch.Tensor | None = None) -> torch.Tensor:
        p = self.param.upsample_param
        h, w = x.shape[2:]
        if self.sized:
            if second is not None:
                size = tuple(second.shape[2:])
            elif p.HasField("height"):
                size = (p.height, p.width)
            else:
                size = (math.floor(h * p.height_scale), math.floor(w * p.width_scale))
            if p.mode == p.BILINEAR:
                return F.interpolate(x, size=size, mode="bilinear", align_corners=True)
            rows = torch.arange(size[0], device=x.device) * h // size[0]
            columns = torch.arange(size[1], device=x.device) * w // size[1]
            return x.index_select(2, rows).index_select(3, columns)
        if second is None:
            scale = p.scale if p.HasField("scale") else 1
            return F.interpolate(x, scale_factor=scale, mode="nearest") if scale > 1 else x.clone()
        if p.HasField("upsample_h"):
            size = (p.upsample_h, p.upsample_w)
        else:
            size = (h * (p.scale_h or p.scale) - p.pad_out_h, w * (p.scale_w or p.scale) - p.pad_out_w)
        return self._scatter(x, second, size)

    def _scatter(self, x: torch.Tensor, mask: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        index, most = mask.detach().flatten(2).long(), size[0] * size[1]
        inside = index.clamp(0, most - 1)
        refuse(
            inside != index,
            lambda: self.error(
                f"the mask must be in [0, {most - 1}] (top {size[0]}×{size[1]}), got"
                f" {int(index[inside != index][0])}",
                fix="Use the scale of the pooling that made the mask",
            ),
        )
        flat = torch.zeros(*x.shape[:2], most, dtype=x.dtype, device=x.device)
        y: torch.Tensor = flat.scatter(2, inside, x.flatten(2)).unflatten(2, size)
        return y
