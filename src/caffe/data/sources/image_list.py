"""Batches of image files named by a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.data.image_batches import ImageBatches, Share
from caffe.data.image_files import Entry, read_image
from caffe.data.prefetch import Array
from caffe.data.transform import Transformer, planes
from caffe.errors import CaffeError, DataError


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
