"""Batches of image files named by a list, a file and its label (or labels) a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.data.image_batches import ImageBatches, Share
from caffe.data.prefetch import Array
from caffe.data.transform import Transformer, decode, planes
from caffe.errors import CaffeError, DataError, FileAccessError, MissingFileError, close_names


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
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except FileNotFoundError:
        folder = Path(path).parent
        siblings = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        raise MissingFileError(
            f"The list '{path}' does not exist (looked from {os.getcwd()})",
            fix=close_names(Path(path).name, siblings) or None,
        ) from None
    except OSError as error:
        raise FileAccessError(f"The list '{path}' cannot be read: {error.strerror}") from error


def read_bytes(path: str) -> bytes:
    """A file's bytes. Raises MissingFileError, FileAccessError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise MissingFileError(
            "the image does not exist", file=path, fix="Correct the list or root_folder"
        ) from None
    except OSError as error:
        raise FileAccessError(f"the image cannot be read: {error.strerror}", file=path) from error


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


class ImageListBatches(ImageBatches):
    """Batches of listed images, in the list's order or in a new random order each epoch."""

    def __init__(
        self,
        entries: list[Entry],
        root: str,
        batch_size: int,
        transformer: Transformer,
        *,
        height: int = 0,
        width: int = 0,
        color: bool = True,
        shuffle: bool = False,
        seed: int = 0,
        share: Share | None = None,
        skip: bool = False,
        start: int = 0,
    ) -> None:
        super().__init__(batch_size, transformer, seed, share or Share(), skip)
        self._entries = entries
        self._root = root
        self._size = (height, width)
        self._color = color
        self._shuffle = shuffle
        self._order: tuple[int, Any] = (-1, None)
        self.index = start

    def next_items(self, indices: npt.NDArray[np.int64]) -> Sequence[Entry]:
        count = len(self._entries)
        return [self._entries[self._place(int(i) // count, int(i) % count)] for i in indices]

    def _place(self, epoch: int, place: int) -> int:
        if not self._shuffle:
            return place
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._order = (epoch, rng.permutation(len(self._entries)))
        return int(self._order[1][place])

    def first_good(self) -> tuple[Array, Array]:
        """The first image that can be read, and its labels, for the shapes. Raises what reading the first
        raises.
        """
        items = self.next_items(np.arange(self.index, self.index + len(self._entries), dtype=np.int64))
        for item in items if self.skip else items[:1]:
            try:
                return self.fetch(item)
            except CaffeError as error:
                error.message = f"Record '{self.name(item)}': {error.message}"
                if not self.skip:
                    raise
        raise DataError(f"None of the {len(items)} images of the list can be read")

    def name(self, item: Entry) -> str:
        return self._root + item.name

    def fetch(self, item: Entry) -> tuple[Array, Array]:
        return planes(read_image(self.name(item), *self._size, self._color)), item.labels

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._order = (-1, None)
