"""Batches of Datum records from a database."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from caffe.data.image_batches import ImageBatches, Job, Share
from caffe.data.prefetch import Allocate, Array, State
from caffe.data.sources.database import open_database
from caffe.data.sources.keyed import Item, key_text
from caffe.data.transform import Transformer, decode, planes, random_words
from caffe.errors import CaffeError, DataError
from caffe.formats.datum import Datum, Stack, parse, stack

_SMALL = 1 << 14
"""Images of up to so many values are cropped together: more would not stay in the processor's cache."""


class RecordBatches(ImageBatches):
    """Batches of the records of an LMDB or LevelDB, in key order, from the start again after the end."""

    def __init__(
        self,
        path: str,
        backend: str | None,
        batch_size: int,
        transformer: Transformer,
        *,
        seed: int = 0,
        share: Share | None = None,
        skip: bool = False,
    ) -> None:
        super().__init__(batch_size, transformer, seed, share or Share(), skip)
        self._path, self._backend = path, backend
        self._database = open_database(path, backend)
        self._cursor = self._database.cursor()
        self.first = self._first()
        """The record that the shapes of the tops come from."""
        self._stackable = not transformer.augmentations and not self.first.encoded

    def _first(self) -> Datum:
        cursor = self._database.cursor()
        try:
            [(key, value)] = cursor.take(1)
            datum = parse(value)
            datum.data = bytes(datum.data)
            self.first_key = key_text(key)
            return datum
        finally:
            cursor.close()

    def next_items(self, indices: npt.NDArray[np.int64]) -> Sequence[Item]:
        items = self._cursor.take(self.share.count * self.batch_size)
        return items[self.share.rank :: self.share.count]

    def name(self, item: Item) -> str:
        return key_text(item[0])

    def fetch(self, item: Item) -> tuple[Array, Array]:
        return self.read(parse(item[1]))

    def read(self, datum: Datum) -> tuple[Array, Array]:
        """A record's image and labels. Raises DataError."""
        if datum.encoded:
            return planes(decode(datum.data, self.transformer.color)), datum.labels
        image = datum.pixels()
        if not image.size:
            raise DataError("it holds no values", fix="Its data or float_data must be filled")
        return image, datum.labels

    def read_first(self) -> tuple[Array, Array]:
        """The first record's image and labels, for the shapes. Raises DataError."""
        try:
            return self.read(self.first)
        except DataError as error:
            error.message = f"Record '{self.first_key}' of '{self._path}': {error.message}"
            raise

    def load(self, job: Job, allocate: Allocate) -> list[Array]:
        try:
            loaded = self._load(job, allocate)
            items = self._cursor.whole(job.items)
        except CaffeError:
            items = self._cursor.whole(job.items)
            if items is job.items:
                raise
        if items is job.items:
            return loaded
        return self._load(Job(items, job.indices), allocate)

    def _load(self, job: Job, allocate: Allocate) -> list[Array]:
        if self._stackable:
            stacked = stack([value for _, value in job.items])
            if stacked is not None:
                return self._load_stack(job, stacked, allocate)
        return super().load(job, allocate)

    def _load_stack(self, job: Job, found: Stack, allocate: Allocate) -> list[Array]:
        """Raw records of one shape, all at once where they are small or nothing is drawn for each."""
        transformer = self.transformer
        count = len(job.items)
        images = found.values.reshape(count, *found.shape)
        try:
            out = allocate((count, *transformer.output_shape(found.shape)))
        except DataError as error:
            error.message = f"Record '{self.name(job.items[0])}': {error.message}"
            raise
        words = random_words(self.seed, job.indices, 3) if transformer.random else None
        if words is None or found.values.shape[1] <= _SMALL:
            transformer.apply_all(images, out, words)
        else:
            for i in range(count):
                transformer.apply(images[i], out[i], words[i])
        return [out, found.labels]

    def state(self) -> State:
        return {**super().state(), "key": list(self._cursor.last_key())}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._cursor.seek_after(bytes(state["key"]))

    def close(self) -> None:
        self._cursor.close()
        self._database.close()

    def reopen(self) -> None:
        self._database = open_database(self._path, self._backend)
        self._cursor = self._database.cursor()
