"""Image files' bytes as pixels, by OpenCV, once what they claim is known to be possible."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import limits

_PNG = b"\x89PNG\r\n\x1a\n"
_DENSEST = 8300
"""Pixels that a byte can stand for in any format but WebP: deflate packs 1032 : 1, and PNG eight pixels in a byte."""
_SMALL = 1 << 24
"""Pixels that a few bytes may claim all the same: a GIF's frame may be smaller than its canvas."""
_WORKING = 8
"""Bytes that decoders take for a pixel: progressive JPEGs' coefficients, GIFs' canvas and background."""


def decoded(data: bytes | bytearray | memoryview, flag: int) -> npt.NDArray[Any] | None:
    """The pixels, as ``cv2.imdecode`` gives them for ``flag``; None where it cannot."""
    import cv2

    content = bytes(data)
    if not content or not _possible(content):
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except (cv2.error, MemoryError):  # too many pixels, for one
        return None
    return None if pixels is None else np.asarray(pixels)


def size_of(content: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a JPEG, PNG, BMP, GIF or WebP says; None for all others.

    Raises ValueError where the header is cut off.
    """
    try:
        if content.startswith(_PNG):
            return struct.unpack_from(">II", content, 16)
        if content.startswith((b"GIF87a", b"GIF89a")):
            return struct.unpack_from("<HH", content, 6)
        if content.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", content, 18)
            return abs(width), abs(height)
        if content.startswith(b"\xff\xd8"):
            return _jpeg(content)
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return _webp(content)
    except struct.error:
        raise ValueError("The image is cut off in its header") from None
    return None


def _jpeg(content: bytes) -> tuple[int, int]:
    at = 2
    while True:
        at = content.find(b"\xff", at)  # decoders pass over what is no marker
        if at < 0 or at + 4 > len(content):
            raise ValueError("The JPEG is cut off before its size")
        marker = content[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # fill bytes, and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        (length,) = struct.unpack_from(">H", content, at + 2)
        at += 2 + max(length, 2)


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF


def _possible(content: bytes) -> bool:
    """Whether the file can hold the pixels that its header claims, and the memory, too; true for what says no size.

    Decoders take their word for it: 34 bytes of a GIF had OpenCV fill 8 GB.
    """
    try:
        size = size_of(content)
    except ValueError:
        return False
    if size is None:
        return True
    pixels = size[0] * size[1]
    if _WORKING * pixels > limits.memory():
        return False
    if not content.startswith(b"RIFF") and pixels > max(_SMALL, _DENSEST * len(content)):
        return False
    return not content.startswith(_PNG) or _chunks_lie_within(content)


def _chunks_lie_within(png: bytes) -> bool:
    """Whether a PNG's chunks lie within the file: the decoder takes and clears memory of up to 2 GB for one."""
    at = 8
    while at + 12 <= len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        if at + 12 + size > len(png):
            return False
        if kind == b"IEND":
            break
        at += 12 + size
    return True
