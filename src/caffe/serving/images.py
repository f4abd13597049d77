"""Photos that strangers send: their kind and size are read from the first bytes before anything is decoded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from caffe.errors import DataError, InputError
from caffe.formats import images

KINDS = "JPEG, PNG, BMP, GIF or WebP"


class TooLarge(InputError):
    """More pixels than may be."""


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height that an image's header says. Raises DataError for what is no image of the known kinds."""
    try:
        size = images.size_of(content)
    except ValueError as error:
        raise DataError(str(error)) from None
    if size is None:
        raise DataError(f"The body must be an image ({KINDS})")
    if not all(size):
        raise DataError(f"The image says that it is {size[0]}×{size[1]} pixels")
    return size


def decode(content: bytes, most_pixels: int) -> npt.NDArray[np.uint8]:
    """An image as height × width × 3, blue first. Raises DataError, TooLarge."""
    import cv2

    if not content:
        raise DataError(
            "The body is empty", fix="Send an image as the body, or as the field 'image' of a form"
        )
    width, height = size_of(content)
    if width * height > most_pixels:
        raise TooLarge(f"An image may have at most {most_pixels:,} pixels; this one is {width}×{height}")
    image = images.decoded(content, cv2.IMREAD_COLOR)
    if image is None:
        raise DataError("The image is damaged: it cannot be decoded")
    return np.asarray(image, np.uint8)
