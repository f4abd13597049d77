"""What layers that pool regions of interest share: checks and roundings."""

from __future__ import annotations

from typing import Any

import torch

from caffe.blob import Shape
from caffe.deferred import refuse
from caffe.errors import LayerError
from caffe.tensor_layer import TensorLayer


def check_pooled(layer: TensorLayer, param: Any, least: int = 1) -> None:
    """Raise LayerError where pooled_h or pooled_w is below ``least``."""
    for field in ("pooled_h", "pooled_w"):
        if getattr(param, field) < least:
            raise layer.error(f"must be at least {least}; got {getattr(param, field)}", field=field)


def check_rois(layer: TensorLayer, features: Shape, rois: Shape) -> None:
    """Raise ShapeError where the bottoms are not N × C × H × W features and R × 5 regions."""
    if len(features) != 4:
        raise layer.shape_error(f"bottom 0 must be N×C×H×W features; got shape {list(features)}")
    count = 1
    for size in rois[1:]:
        count *= size
    if len(rois) < 2 or count != 5:
        raise layer.shape_error(
            f"bottom 1 must be R×5 regions (image, x1, y1, x2, y2); got shape {list(rois)}"
        )


def images_of(layer: TensorLayer, rois: torch.Tensor, images: int) -> torch.Tensor:
    """Each region's image number. One out of range raises LayerError."""
    image = rois[:, 0].long()
    wrong = (image < 0) | (image >= images)

    def refusal() -> LayerError:
        row = int(wrong.nonzero()[0])
        return layer.error(
            f"region {row} must name an image in [0, {images - 1}]; got {float(rois[row, 0]):g}",
            fix="Column 0 of bottom 1 is the image's place in the batch",
        )

    refuse(wrong, refusal)
    return image.clamp(0, max(images - 1, 0))


def half_away(x: torch.Tensor) -> torch.Tensor:
    """Rounded to the nearest integer, halves away from zero, as C's round()."""
    whole = torch.trunc(x)
    return whole + torch.trunc((x - whole) * 2)


def clear_of_sync(most: torch.Tensor, bound: int) -> int:
    """``most`` where reading it is free (CPU), else the bound that is known without asking the device."""
    return max(int(most), 1) if most.device.type == "cpu" else bound


def bilinear(x: torch.Tensor, image: torch.Tensor, row: torch.Tensor, col: torch.Tensor) -> torch.Tensor:
    """Bilinear values on a grid of rows × columns for each region, clamped to the map.

    x: N × C × H × W; image: R; row: R × A; col: R × B. Returns R × C × A × B.
    """
    height, width = x.shape[2:]
    row, col = row.clamp(0, height - 1), col.clamp(0, width - 1)
    top, left = row.floor().long(), col.floor().long()
    down, right = (row - top)[:, :, None, None], (col - left)[:, None, :, None]
    bottom, far = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    n = image[:, None, None]
    nearest = x[n, :, top[:, :, None], left[:, None]]  # R × A × B × C
    upper = nearest + right * (x[n, :, top[:, :, None], far[:, None]] - nearest)
    low_left = x[n, :, bottom[:, :, None], left[:, None]]
    lower = low_left + right * (x[n, :, bottom[:, :, None], far[:, None]] - low_left)
    return (upper + down * (lower - upper)).permute(0, 3, 1, 2)


def check_position_sensitive(layer: TensorLayer, p: Any, features: Shape, rois: Shape) -> None:
    """Raise where regions, parameters or channels do not fit a position-sensitive layer (R-FCN's)."""
    for field in ("spatial_scale", "output_dim", "group_size"):
        if not p.HasField(field) or getattr(p, field) <= 0:
            raise layer.error(f"must be given and above 0; got {getattr(p, field):g}", field=field)
    check_rois(layer, features, rois)
    if features[1] != p.output_dim * p.group_size**2:
        raise layer.shape_error(
            f"bottom 0 must have output_dim·group_size² = {p.output_dim * p.group_size**2} channels;"
            f" got {features[1]}"
        )
