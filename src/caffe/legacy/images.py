"""scipy.misc's functions for images, by Pillow where it is there (as they were), else by OpenCV."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe.errors import InputError, MissingFileError, MissingPackageError

_FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "cubic": 3}


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError(
            "scipy.misc's images need the package 'pillow'", fix="pip install pillow"
        ) from error
    return Image


def bytescale(data: Any, cmin: Any = None, cmax: Any = None, high: int = 255, low: int = 0) -> Any:
    """Values stretched to 0 … 255, unless they are bytes."""
    data = np.asarray(data)
    if data.dtype == np.uint8:
        return data
    least = data.min() if cmin is None else cmin
    most = data.max() if cmax is None else cmax
    scale = float(most) - float(least) or 1.0
    stretched = (data - float(least)) * (float(high - low) / scale) + low
    return (stretched.clip(low, high) + 0.5).astype(np.uint8)


def toimage(arr: Any, **kwargs: Any) -> Any:
    """A Pillow image of H×W, H×W×3 or 3×H×W values."""
    data = np.asarray(arr)
    if data.ndim == 3 and data.shape[2] not in (3, 4) and data.shape[0] in (3, 4):
        data = data.transpose(1, 2, 0)
    if data.ndim not in (2, 3):
        raise InputError(f"An image must have two or three axes; got shape {list(data.shape)}")
    known = {k: v for k, v in kwargs.items() if k in ("cmin", "cmax", "high", "low")}
    return _pillow().fromarray(bytescale(data, **known))


def imread(name: Any, flatten: bool = False, mode: str | None = None) -> Any:
    """An image file as an array: H×W or H×W×channels of uint8; luminance as float32 with ``flatten``."""
    try:
        image = _pillow().open(name)
    except FileNotFoundError:
        raise MissingFileError("This image does not exist", file=name) from None
    if mode or image.mode in ("P", "CMYK", "1"):
        image = image.convert(mode or ("L" if image.mode == "1" else "RGB"))
    return np.asarray(image.convert("F") if flatten else image).copy()


def imsave(name: Any, arr: Any, format: str | None = None) -> None:
    """Write an image file, values stretched to 0 … 255 unless they are bytes."""
    toimage(arr).save(name, format)


def imresize(arr: Any, size: Any, interp: str = "bilinear", mode: str | None = None) -> Any:
    """An image in another size: a percentage (int), a factor (float) or (height, width)."""
    image = toimage(arr) if mode != "F" else _pillow().fromarray(np.asarray(arr, np.float32))
    width, height = image.size
    if isinstance(size, (int, np.integer)):
        size = size / 100.0
    if isinstance(size, (float, np.floating)):
        target = (int(width * size), int(height * size))
    else:
        target = (int(size[1]), int(size[0]))
    if interp not in _FILTERS:
        raise InputError(f"interp must be one of {', '.join(_FILTERS)}; got '{interp}'")
    return np.asarray(image.resize(target, resample=_FILTERS[interp]))


def imrotate(arr: Any, angle: float, interp: str = "bilinear") -> Any:
    """An image turned counterclockwise by degrees."""
    resample = min(_FILTERS.get(interp, 2), 3)
    return np.asarray(toimage(arr).rotate(angle, resample=resample))
