"""How a photo becomes a net's input."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from caffe.errors import InputError

Array = npt.NDArray[np.float32]
Photo = npt.NDArray[np.uint8]
"""Height × width × 3, blue first."""


@dataclass(frozen=True)
class Preparation:
    """(pixel − mean) · scale, in the net's size or with the sides' ratio kept.

    ``mean``: a value a channel in the net's order, or one for all. ``rgb``: red comes first. ``short_side`` and
    ``long_side``: the photo is made as large as it can be with sides up to these, instead of the input's own size.
    ``resize``: the photo gets this height and width, and the input its centre. ``smooth``: a photo made smaller takes
    means of its pixels, not the bilinear samples that data layers train on.
    """

    mean: tuple[float, ...] = (104.0, 117.0, 123.0)
    scale: float = 1.0
    rgb: bool = False
    short_side: int = 0
    long_side: int = 0
    resize: tuple[int, int] = (0, 0)
    smooth: bool = True

    def apply(self, photo: Photo, shape: tuple[int, ...]) -> Array:
        """The input (1 × C × H × W) for an input blob of ``shape``. Raises InputError."""
        channels = shape[1]
        width, height = self.size(photo, shape)
        if (height, width) != photo.shape[:2]:
            smaller = self.smooth and height * width < photo.shape[0] * photo.shape[1]
            photo = np.asarray(
                cv2.resize(
                    photo, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
                ),
                np.uint8,
            )
        if self.resize != (0, 0):
            top, left = (height - shape[2]) // 2, (width - shape[3]) // 2
            photo = photo[top : top + shape[2], left : left + shape[3]]
        if channels == 1:
            planes = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)[None]
        elif channels == 3:
            planes = (photo[..., ::-1] if self.rgb else photo).transpose(2, 0, 1)
        else:
            raise InputError(f"Photos have 1 or 3 channels; the net's input has {channels}")
        if len(self.mean) not in (1, channels):
            raise InputError(
                f"The mean must have 1 or {channels} values, as the net's channels; got {len(self.mean)}"
            )
        mean = np.asarray(self.mean, np.float32).reshape(-1, 1, 1)
        return np.asarray((planes.astype(np.float32) - mean) * np.float32(self.scale), np.float32)[None]

    def size(self, photo: Photo, shape: tuple[int, ...]) -> tuple[int, int]:
        """Width and height that the photo is resized to."""
        if self.resize != (0, 0):
            return self.resize[1], self.resize[0]
        if not self.short_side:
            return shape[3], shape[2]
        short, long = sorted(photo.shape[:2])
        factor = self.short_side / short
        if self.long_side and factor * long > self.long_side:
            factor = self.long_side / long
        return round(photo.shape[1] * factor), round(photo.shape[0] * factor)
