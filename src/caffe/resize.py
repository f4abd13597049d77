"""Resizing images with the numbers that scikit-image and scipy gave pycaffe, needing neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.errors import InputError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = 1) -> Floats:
    """An H×W×C image resized to ``new_dims`` (height, width), without smoothing first.

    ``interp_order``: 0 nearest, 1 linear, 3 cubic. With 1 or 3 channels pixels are areas, and around the
    image lies its minimum; with others pixels are points, the corner ones staying in the corners. These are
    the two ways of pycaffe. Raises InputError for other orders and shapes.
    """
    im = np.asarray(im)
    if im.ndim != 3 or 0 in im.shape:
        raise InputError(f"The image must be H×W×C; got shape {list(im.shape)}")
    dims = tuple(int(d) for d in new_dims)
    if len(dims) != 2 or min(dims) < 1:
        raise InputError(f"new_dims must be (height, width), each at least 1; got {list(new_dims)}")
    if interp_order not in (0, 1, 3):
        raise InputError(f"interp_order must be 0 (nearest), 1 (linear) or 3 (cubic); got {interp_order!r}")
    height, width = im.shape[:2]
    values = im.astype(np.float64)
    if im.shape[2] not in (1, 3):
        rows = _weights(_corner_positions(height, dims[0]), height, interp_order, inside=True)
        columns = _weights(_corner_positions(width, dims[1]), width, interp_order, inside=True)
        return _apply(rows, columns, values)
    low, high = values.min(), values.max()
    if not high > low:
        return np.full((*dims, im.shape[2]), low, np.float32)
    rows = _weights(_area_positions(height, dims[0]), height, interp_order, inside=False)
    columns = _weights(_area_positions(width, dims[1]), width, interp_order, inside=False)
    unit = _apply(rows, columns, (values - low) / (high - low))
    result: Floats = (np.clip(unit, 0, 1) * (high - low) + low).astype(np.float32)
    return result


def resize(
    image: Array,
    output_shape: Sequence[int],
    order: int = 1,
    mode: str = "constant",
    cval: float = 0.0,
    clip: bool = True,
    preserve_range: bool = False,
) -> Array:
    """scikit-image's ``resize``, which scripts know as ``caffe.io.resize``: H×W or H×W×C, without smoothing first.

    ``output_shape``: (height, width) or (height, width, C). ``order`` as in :func:`resize_image`; ``mode``: what
    lies around the image, ``constant`` (``cval``), ``edge``, ``reflect``, ``symmetric`` or ``wrap``. Integers
    become floats in [0, 1], unless ``preserve_range``. Raises InputError for other shapes, orders and modes.
    """
    image = np.asarray(image)
    dims = tuple(int(d) for d in output_shape)
    wanted = (*dims[:2], *image.shape[2:])
    if image.ndim not in (2, 3) or 0 in image.shape or dims not in (wanted, wanted[:2]) or min(dims) < 1:
        raise InputError(
            "resize must be given an image H×W or H×W×C and an output_shape (height, width) or (height, width, C); "
            f"got shapes {list(image.shape)} and {list(output_shape)}",
            fix="Resize first, then transpose to C×H×W",
        )
    if order not in (0, 1, 3):
        raise InputError(f"order must be 0 (nearest), 1 (linear) or 3 (cubic); got {order!r}")
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise InputError(f"mode must be constant, edge, reflect, symmetric or wrap; got {mode!r}")
    values = image.astype(np.float64).reshape(*image.shape[:2], -1)
    if image.dtype.kind in "ui" and not preserve_range:
        values /= np.iinfo(image.dtype).max
    border = [(2, 2), (2, 2), (0, 0)]  # as far as a cubic reaches
    if mode == "constant":
        padded = np.pad(values, border, mode="constant", constant_values=cval)
    else:
        padded = np.pad(values, border, mode=mode)  # type: ignore[call-overload]
    height, width = image.shape[:2]
    rows = _weights(_area_positions(height, dims[0]) + 2, height + 4, order, inside=True)
    columns = _weights(_area_positions(width, dims[1]) + 2, width + 4, order, inside=True)
    result = _apply(rows, columns, padded)
    if clip:
        low, high = (padded if mode == "constant" else values).min(), padded.max()
        result = np.clip(result, low, high)
    return result.reshape(wanted).astype(np.float32 if image.dtype == np.float32 else np.float64)


def _area_positions(old: int, new: int) -> Array:
    return (np.arange(new) + 0.5) * (old / new) - 0.5


def _corner_positions(old: int, new: int) -> Array:
    return np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 1.0)


def _weights(positions: Array, size: int, order: int, inside: bool) -> list[tuple[Array, Array]]:
    """For each tap: which pixel, and its weight; pixels outside weigh nothing, or count as the edge."""
    if order == 0:
        taps = [(np.rint(positions), np.ones(len(positions)))]
    else:
        base = np.floor(positions)
        t = positions - base
        if order == 1:
            taps = [(base, 1 - t), (base + 1, t)]
        else:  # cubic convolution (Keys 1981) with a = -1/2
            taps = [
                (base - 1, t * (-0.5 + t * (1 - 0.5 * t))),
                (base, 1 + t * t * (1.5 * t - 2.5)),
                (base + 1, t * (0.5 + t * (2 - 1.5 * t))),
                (base + 2, t * t * (0.5 * t - 0.5)),
            ]
    all_taps = []
    for index, weight in taps:
        if not inside:
            weight = np.where((index >= 0) & (index < size), weight, 0.0)
        all_taps.append((np.clip(index, 0, size - 1).astype(int), weight))
    return all_taps


def _apply(rows: list[tuple[Array, Array]], columns: list[tuple[Array, Array]], image: Array) -> Floats:
    tall = sum(image[index] * weight[:, np.newaxis, np.newaxis] for index, weight in rows)
    wide: Array = sum(np.asarray(tall)[:, index] * weight[:, np.newaxis] for index, weight in columns)  # type: ignore[assignment]
    return wide.astype(np.float32)
