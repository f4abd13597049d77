"""Image files' bytes as pixels, by OpenCV, once what they claim is known to be possible."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import limits

_PNG = b"\x89PNG\r\n\x1a\n"


def decoded(data: bytes | bytearray | memoryview, flag: int) -> npt.NDArray[Any] | None:
    """The pixels, as ``cv2.imdecode`` gives them for ``flag``; None where it cannot."""
    import cv2

    encoded = np.frombuffer(data, np.uint8)
    if not encoded.size or not _possible(encoded.data):
        return None
    try:
        pixels = cv2.imdecode(encoded, flag)
    except (cv2.error, MemoryError):  # too many pixels, for one
        return None
    return None if pixels is None else np.asarray(pixels)


def _possible(data: memoryview) -> bool:
    """Whether a PNG's chunks lie within the file, and its pixels in memory; true for all others.

    The decoder believes a chunk's length, and takes and clears memory of up to 2 GB for it.
    """
    if bytes(data[:8]) != _PNG:
        return True
    at = 8
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            return False
        if kind == b"IHDR" and size >= 8:
            width, height = struct.unpack_from(">II", data, at + 8)
            if 4 * width * height > limits.memory():
                return False
        if kind == b"IEND":
            break
        at += 12 + size
    return True
