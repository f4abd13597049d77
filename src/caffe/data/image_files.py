"""Image files and the lists that name them, a file and its label (or labels) a line."""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import limits
from caffe.data.transform import decode
from caffe.errors import DataError, MissingFileError, close_names
from caffe.formats import files

Array = npt.NDArray[Any]


@dataclass(slots=True)
class Entry:
    """A line of a list."""

    name: str
    labels: npt.NDArray[np.float32]


def read_list(path: str, label_count: int = 1, *, needs_labels: bool = True) -> list[Entry]:
    """The lines of a list: a file's name, which may hold spaces, and ``label_count`` numbers at the end.

    Without ``needs_labels`` a line may also be a name alone. Raises MissingFileError, DataError naming the
    line.
    """
    entries = []
    for number, line in enumerate(list_lines(path), 1):
        text = line.strip()
        if not text:
            continue
        try:
            parts = text.rsplit(None, label_count)
            labels = np.array([float(p) for p in parts[1:]], np.float32)
            if len(labels) != label_count:
                raise ValueError
            entries.append(Entry(parts[0], labels))
        except ValueError:
            if needs_labels:
                wanted = "a label" if label_count == 1 else f"{label_count} labels"
                raise DataError(
                    f"A line must be a file's name and {wanted}, with spaces between; got '{text}'",
                    file=path,
                    line=number,
                ) from None
            entries.append(Entry(text, np.zeros(label_count, np.float32)))
    if not entries:
        raise DataError("The list is empty: it must name at least one image", file=path)
    return entries


def list_lines(path: str) -> list[str]:
    """The lines of a text file. Raises MissingFileError, DataError, FileAccessError."""
    try:
        data = files.read_text_bytes(path, kind=DataError, most=limits.memory() // 4)
    except MissingFileError:
        folder = Path(path).parent
        siblings = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        raise MissingFileError(
            f"The list '{path}' does not exist (looked from {os.getcwd()})",
            fix=close_names(Path(path).name, siblings) or None,
        ) from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError("is text of UTF-16", file=path, fix="Save it as UTF-8")
    return data.decode("utf-8-sig", "surrogateescape").split("\n")


def read_bytes(path: str) -> bytes:
    """A file's bytes. Raises MissingFileError, FileAccessError."""
    try:
        return files.read_bytes(path, kind=DataError)
    except MissingFileError:
        quoted = path.endswith(('"', "'"))
        fix = "Names in lists stand without quotes" if quoted else "Correct the list or root_folder"
        raise MissingFileError("the image does not exist", file=path, fix=fix) from None


def read_image(path: str, height: int = 0, width: int = 0, color: bool | None = True) -> Array:
    """An image file as H×W×3 (BGR) or H×W (gray) of uint8, resized if height and width are given.

    Raises MissingFileError, FileAccessError, CorruptDataError.
    """
    return resized(decode(read_bytes(path), color), height, width)


def resized(image: Array, height: int, width: int) -> Array:
    """The image at another size (bilinear), or itself for zeros."""
    if not (height and width) or image.shape[:2] == (height, width):
        return image
    import cv2

    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))
