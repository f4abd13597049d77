"""idx: the file format of MNIST, plain or gzip."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.errors import CorruptDataError, DataError, MissingFileError, close_names

_GZIP = b"\x1f\x8b"
_UINT8 = 0x08


def read_idx(path: str | os.PathLike[str], axes: int) -> npt.NDArray[Any]:
    """The array of bytes of an idx file with this number of axes (MNIST's images have 3, its labels 1).

    Raises MissingFileError, DataError (another kind of file), CorruptDataError (cut off).
    """
    place = Path(path)
    try:
        raw = place.read_bytes()
    except FileNotFoundError:
        siblings = [p.name for p in place.parent.iterdir()] if place.parent.is_dir() else []
        raise MissingFileError(
            f"The file '{place}' does not exist",
            fix=close_names(place.name, siblings) or "Try: caffe download mnist",
        ) from None
    if raw[:2] == _GZIP:
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise CorruptDataError(
                f"'{place}' is a damaged gzip file: {error}", fix="Download it again"
            ) from error
    magic = bytes((0, 0, _UINT8, axes))
    if raw[:4] != magic:
        raise DataError(
            f"'{place}' must begin with the magic number {int.from_bytes(magic, 'big')} of an idx file "
            f"of bytes with {axes} axes; got {int.from_bytes(raw[:4], 'big')}",
            fix="Give images and labels in this order",
        )
    start = 4 + 4 * axes
    if len(raw) < start:
        raise CorruptDataError(f"'{place}' is cut off within its header")
    shape = struct.unpack(f">{axes}I", raw[4:start])
    count = int(np.prod(shape, dtype=np.int64))
    if len(raw) - start != count:
        raise CorruptDataError(
            f"'{place}' must hold {count:,} values after its header; got {len(raw) - start:,}"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def read_mnist(images: str | os.PathLike[str], labels: str | os.PathLike[str]) -> tuple[Any, Any]:
    """Images (count × rows × columns) and labels (count) of MNIST. Raises as :func:`read_idx`."""
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise DataError(
            f"There must be one label an image; got {len(pixels)} images and {len(classes)} labels"
        )
    return pixels, classes
