"""Photos that strangers send: their kind and size are read from the first bytes before anything is decoded."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from caffe.errors import DataError, InputError

KINDS = "JPEG, PNG, BMP, GIF or WebP"


class TooLarge(InputError):
    """More pixels than may be."""


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height that an image's header says. Raises DataError for what is no image of the known kinds."""
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack(">II", content[16:24])
        elif content.startswith((b"GIF87a", b"GIF89a")):
            width, height = struct.unpack("<HH", content[6:10])
        elif content.startswith(b"BM"):
            width, height = map(abs, struct.unpack("<ii", content[18:26]))
        elif content.startswith(b"\xff\xd8"):
            width, height = _jpeg(content)
        elif content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            width, height = _webp(content)
        else:
            raise DataError(f"The body must be an image ({KINDS})")
    except struct.error:
        raise DataError("The image is cut off in its header") from None
    if not width or not height:
        raise DataError(f"The image says that it is {width}×{height} pixels")
    return width, height


def _jpeg(content: bytes) -> tuple[int, int]:
    at = 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            raise DataError("The JPEG is damaged: a marker is missing")
        marker = content[at + 1]
        if (
            marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD7
        ):  # fill bytes, and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", content[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + max(length, 2)
    raise DataError("The JPEG is cut off before its size")


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", content[21:25])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", content[26:30])
    return width & 0x3FFF, height & 0x3FFF


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
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise DataError(f"The image cannot be decoded: {error.err}") from None
    if image is None:
        raise DataError("The image is damaged: it cannot be decoded")
    return np.asarray(image, np.uint8)
