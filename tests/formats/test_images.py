"""Pictures as they come: of other depths and colours, cut off, empty, or claiming to be enormous."""

from __future__ import annotations

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


def encoded(image, kind=".png"):
    return cv2.imencode(kind, image)[1].tobytes()


def chunk(kind, content, size=None):
    length = struct.pack(">I", len(content) if size is None else size)
    return length + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth=8, content=b"", size=None):
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(content), size)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


BAD = {
    "nothing": b"",
    "text": b"hello",
    "a bomb": png(65500, 65500, 1, b"\0" * 100_000),
    "a chunk of 2 GB": png(40, 40, 8, b"\0" * 1640, 0x7FFFFFF0),
    "cut off in its data": encoded(PIXELS)[:200],
    "cut off in its header": encoded(PIXELS)[:20],
    "a JPEG cut off": encoded(PIXELS, ".jpg")[:-40],
}


@pytest.mark.parametrize("name", BAD)
def test_pictures_that_are_none(tmp_path, name):
    start = time.process_time()
    with pytest.raises(errors.CorruptDataError):
        decode(BAD[name], True)
    path = tmp_path / "i.png"
    path.write_bytes(BAD[name])
    if not name.startswith("a JPEG"):  # which OpenCV fills up with grey
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
