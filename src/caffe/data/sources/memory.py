"""Images in memory, transformed into one array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.data.transform import Transformer, decode, planes, random_words
from caffe.errors import CaffeError, DataError, InputError
from caffe.formats.datum import parse


def transformed(images: list[Any], transformer: Transformer, seed: int = 0) -> npt.NDArray[np.float32]:
    """Datum messages or their bytes, or arrays height × width (× channels), as items × channels × height ×
    width.

    Raises InputError for no images, DataError naming the image that does not fit.
    """
    if not images:
        raise InputError("There must be at least one image; got none")
    words = random_words(seed, np.arange(len(images)), 3) if transformer.random else None
    out: npt.NDArray[np.float32] | None = None
    for i, image in enumerate(images):
        try:
            pixels = _pixels(image, transformer)
            shape = transformer.output_shape(pixels.shape)
            if out is None:
                out = np.empty((len(images), *shape), np.float32)
            if shape != out.shape[1:]:
                raise DataError(
                    f"it must have the shape {list(out.shape[1:])} of the first; got {list(shape)}"
                )
            transformer.apply(pixels, out[i], None if words is None else words[i])
        except CaffeError as error:
            error.message = f"Image {i}: {error.message}"
            raise
    if out is None:
        raise InputError("There must be at least one image; got none")
    return out


def _pixels(image: Any, transformer: Transformer) -> npt.NDArray[Any]:
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3):
            raise DataError(f"an image must have 2 or 3 axes; got shape {list(image.shape)}")
        return planes(image)
    datum = parse(image if isinstance(image, (bytes, memoryview)) else image.SerializeToString())
    return planes(decode(datum.data, transformer.color)) if datum.encoded else datum.pixels()
