"""From image files to Datum records, as convert_imageset writes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from caffe.data.image_files import Entry, read_bytes, resized
from caffe.data.transform import decode, planes
from caffe.errors import CaffeError, DataError
from caffe.formats.datum import Datum

Array = npt.NDArray[Any]
T = TypeVar("T")
R = TypeVar("R")


def image_datum(
    path: str,
    labels: npt.NDArray[np.float32],
    *,
    height: int = 0,
    width: int = 0,
    color: bool = True,
    encoding: str = "",
) -> Datum:
    """A record of an image file: its pixels, or with ``encoding`` (``jpg``, ``png`` …) an encoded image.

    A file that has this encoding by its name, and needs no other size, is taken byte by byte. Several labels
    go to ``float_data``. Raises MissingFileError, CorruptDataError, DataError.
    """
    data = read_bytes(path)
    image = resized(decode(data, color), height, width)
    datum = _encoded(path, data, image, encoding, unchanged=not (height or width))
    if len(labels) == 1 and float(labels[0]).is_integer():
        if not -(2**31) <= labels[0] < 2**31:
            raise DataError(
                f"A label must fit 32 bits, from -2147483648 to 2147483647; got {labels[0]:.0f}", file=path
            )
        datum.label = int(labels[0])
    else:
        datum.floats = labels
    return datum


def _encoded(path: str, data: bytes, image: Array, encoding: str, unchanged: bool) -> Datum:
    if not encoding:
        pixels = planes(image)
        channels, rows, columns = pixels.shape
        return Datum(channels, rows, columns, np.ascontiguousarray(pixels).tobytes(), encoded=False)
    if unchanged and _extension(path) == _same(encoding):
        return Datum(data=data, encoded=True)
    import cv2

    try:
        done, coded = cv2.imencode("." + encoding, image)
    except cv2.error:
        done = False
    if not done:
        raise DataError(f"'{encoding}' must be an image format that can be written, as jpg or png", file=path)
    return Datum(data=coded.tobytes(), encoded=True)


def _extension(path: str) -> str:
    return _same(os.path.splitext(path)[1].lstrip("."))


def _same(extension: str) -> str:
    extension = extension.lower()
    return "jpg" if extension == "jpeg" else extension


def in_order(
    work: Callable[[T], R], items: Iterable[T], threads: int, ahead: int = 64
) -> Iterator[tuple[T, R | CaffeError]]:
    """``work`` done in threads, results in the items' order, at most ``ahead`` at a time; errors as
    results.
    """

    def attempt(item: T) -> R | CaffeError:
        try:
            return work(item)
        except CaffeError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        waiting = []
        try:
            for item in items:
                waiting.append((item, pool.submit(attempt, item)))
                if len(waiting) >= ahead:
                    done, future = waiting.pop(0)
                    yield done, future.result()
            for done, future in waiting:
                yield done, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def entry_key(number: int, entry: Entry) -> bytes:
    """A record's key: the place in the list and the file's name."""
    return f"{number:08d}_{entry.name}".encode("utf-8", "surrogateescape")


def place_of(key: bytes) -> int:
    """The place in the list that :func:`entry_key` wrote; -1 for an empty key."""
    return int(key.split(b"_", 1)[0]) if key else -1
