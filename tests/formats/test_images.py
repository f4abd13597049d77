"""Pictures as they come: of other depths and colours, cut off, empty, or claiming to be enormous."""

from __future__ import annotations

import io
import struct
import time
import zlib

import cv2
import numpy as np
import pytest

import caffe
from caffe import errors
from caffe.data.transform import decode

PIXELS = np.random.RandomState(3).randint(0, 256, (12, 11, 3)).astype(np.uint8)


def encoded(image, kind=".png", flags=()):
    return cv2.imencode(kind, image, flags)[1].tobytes()


def chunk(kind, content, size=None):
    length = struct.pack(">I", len(content) if size is None else size)
    return length + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth=8, content=b"", size=None):
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(content), size)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def claiming(kind, start, layout, *values, flags=()):
    """A small picture whose header says other sizes."""
    data = bytearray(encoded(PIXELS, kind, flags))
    struct.pack_into(layout, data, data.index(start) + len(start), *values)
    return bytes(data)


def gif(width, height):
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return b"GIF89a" + screen + b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\2\1\x44\0;"


def bmp(width, height):
    """Of runs (RLE8), of which there is none."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1080, 0, 0, 1078) + header + bytes(1024) + b"\0\1"


BAD = {
    "nothing": b"",
    "text": b"hello",
    "a bomb": png(65500, 65500, 1, b"\0" * 100_000),
    "a chunk of 2 GB": png(40, 40, 8, b"\0" * 1640, 0x7FFFFFF0),
    "cut off in its data": encoded(PIXELS)[:200],
    "cut off in its header": encoded(PIXELS)[:20],
    "a JPEG cut off": encoded(PIXELS, ".jpg")[:-40],
    "a JPEG cut off in its header": encoded(PIXELS, ".jpg")[:30],
    "a JPEG's bomb": claiming(".jpg", b"\xff\xc0\0\x11\x08", ">HH", 16_000, 65_500),
    "a progressive JPEG's bomb": claiming(
        ".jpg", b"\xff\xc2\0\x11\x08", ">HH", 32_000, 32_001, flags=(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    ),
    "a JPEG's bomb behind garbage": b"\xff\xd8garbage"
    + claiming(".jpg", b"\xff\xc0\0\x11\x08", ">HH", 16_000, 65_500)[2:],
    "a GIF's bomb": gif(32_000, 32_001),
    "a BMP's bomb": bmp(32_000, 32_001),
    "a WebP's bomb": claiming(
        ".webp", b"\x9d\x01\x2a", "<HH", 16_383, 16_382, flags=(cv2.IMWRITE_WEBP_QUALITY, 50)
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_pictures_that_are_none(tmp_path, monkeypatch, name):
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "2G")
    start = time.process_time()
    with pytest.raises(errors.CorruptDataError):
        decode(BAD[name], True)
    path = tmp_path / "i.png"
    path.write_bytes(BAD[name])
    if name != "a JPEG cut off":  # which OpenCV fills up with grey
        with pytest.raises(errors.DataError, match="cannot be decoded"):
            caffe.io.load_image(str(path))
    assert time.process_time() - start < 1


def test_memory_bounds_a_picture(monkeypatch):
    image = png(700, 500, 8, b"\0" * (701 * 500))
    assert decode(image, True).shape == (500, 700, 3)
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "1M")
    with pytest.raises(errors.CorruptDataError):
        decode(image, True)


def test_other_depths_and_colours():
    np.testing.assert_array_equal(decode(encoded(PIXELS), True), PIXELS)
    deep = PIXELS.astype(np.uint16) * 256
    np.testing.assert_array_equal(decode(encoded(deep), True), PIXELS)
    with pytest.raises(errors.DataError, match="8 bits a channel"):
        decode(encoded(deep))
    with_alpha = np.dstack([PIXELS, np.full((12, 11), 77, np.uint8)])
    np.testing.assert_array_equal(decode(encoded(with_alpha), True), PIXELS)
    assert decode(encoded(PIXELS[..., 0]), True).shape == (12, 11, 3)
    assert decode(encoded(PIXELS) + b"more behind it", True).shape == (12, 11, 3)


def test_what_is_large_and_holds_it():
    """Formats pack flat pictures tightly; none of these is a bomb."""
    flat = np.full((3000, 2990, 3), 77, np.uint8)
    for kind, flags in {
        ".png": (cv2.IMWRITE_PNG_COMPRESSION, 9),
        ".jpg": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        ".webp": (),
        ".bmp": (),
        ".tiff": (),
    }.items():
        assert decode(encoded(flat, kind, flags), True).shape == flat.shape
    black = np.zeros((6000, 5990), np.uint8)
    assert decode(encoded(black, ".png", (cv2.IMWRITE_PNG_BILEVEL, 1))).shape == black.shape


def test_colours_of_print():
    """CMYK comes as colours of light, as OpenCV gives it."""
    pillow = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pillow.fromarray(np.full((12, 11, 4), (255, 0, 0, 0), np.uint8), "CMYK").save(file, "JPEG")
    image = decode(file.getvalue(), True)
    assert image.shape == (12, 11, 3) and np.ptp(image, (0, 1)).max() <= 3
    blue, green, red = image[5, 5]
    assert blue > 200 and green > 130 and red < 30
    assert decode(file.getvalue(), False).shape == (12, 11)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_of_a_turned_camera(tmp_path, orientation):
    """EXIF's orientation is followed in colour and gray, as OpenCV does, and not where all is left as it is."""
    corner = np.zeros((24, 16, 3), np.uint8)
    corner[:8, :8] = 255
    entry = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + entry
    jpeg = encoded(corner, ".jpg", (cv2.IMWRITE_JPEG_QUALITY, 100))
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    where = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    for color in (True, False):
        image = decode(turned, color)
        assert image.shape[:2] == ((24, 16) if orientation < 5 else (16, 24))
        assert np.all(image[where[orientation]] > 250) and np.mean(image > 128) < 0.2
    assert decode(turned).shape == (24, 16, 3)
