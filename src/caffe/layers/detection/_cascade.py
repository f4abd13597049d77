"""What Cascade R-CNN's layers share: the coding of boxes relative to others or to fields of a map.

Boxes are x1, y1, x2, y2 in pixels, both ends inside.
"""

from __future__ import annotations

import numpy as np

from caffe.boxes import Array
from caffe.layer import Layer


def read_normalization(layer: Layer) -> tuple[Array, Array]:
    """Mean and deviation of the four offsets (0 and 1 where bbox_reg_param has none)."""
    p = layer.param.bbox_reg_param
    if not p.bbox_mean or not p.bbox_std:
        return np.zeros(4, np.float32), np.ones(4, np.float32)
    for field in ("bbox_mean", "bbox_std"):
        if len(getattr(p, field)) != 4:
            raise layer.error(f"must be given 4 times; got {len(getattr(p, field))}", field=field)
    if min(p.bbox_std) <= 0:
        raise layer.error(f"must be above 0; got {list(p.bbox_std)}", field="bbox_std")
    return np.array(p.bbox_mean, np.float32), np.array(p.bbox_std, np.float32)


def move(boxes: Array, offsets: Array) -> Array:
    """Boxes (… × 4) moved by offsets (dx, dy, dw, dh)."""
    size = boxes[..., 2:] - boxes[..., :2] + 1
    centre = offsets[..., :2] * size + boxes[..., :2] + size / 2
    size = size * np.exp(offsets[..., 2:])
    start = centre - size / 2
    return np.concatenate([start, start + size - 1], -1).astype(np.float32)


def field_boxes(
    offsets: Array, widths: Array, heights: Array, stride: float, bounds: tuple[float, float]
) -> Array:
    """The boxes that a map's offsets (G × 4 × H × W, denormalized) mean: G × H × W × 4.

    Field k of G is centred on each cell; ``bounds`` are field_xyr and field_whr, the largest offsets.
    """
    xyr, whr = bounds
    moved = np.clip(offsets[:, :2], -1 / xyr, 1 / xyr)
    scaled = np.exp(np.clip(offsets[:, 2:], -np.log(whr), np.log(whr)))
    y, x = np.meshgrid(*((np.arange(n) + 0.5) * stride for n in offsets.shape[2:]), indexing="ij")
    field = np.stack([widths, heights], 1)[:, :, None, None]  # G × 2 × 1 × 1
    centre = moved * field + np.stack([x, y])
    size = scaled * field
    start = centre - size / 2
    return np.concatenate([start, start + size - 1], 1).transpose(0, 2, 3, 1).astype(np.float32)


def read_fields(layer: Layer, param: object) -> tuple[Array, Array, float]:
    """Widths and heights of the fields, and the stride of their cells."""
    widths, heights, strides = (list(getattr(param, f)) for f in ("field_w", "field_h", "stride"))
    if not widths or len(widths) != len(heights) or len(strides) != 1:
        raise layer.error(
            f"field_w and field_h must be given equally often, stride once; got {len(widths)},"
            f" {len(heights)} and"
            f" {len(strides)} values",
            field="field_w",
        )
    return np.array(widths, np.float32), np.array(heights, np.float32), float(strides[0])
