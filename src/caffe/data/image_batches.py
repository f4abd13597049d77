"""Batches of images: what databases of Datum and lists of image files have in common."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import logs
from caffe.data.prefetch import Allocate, Array, BatchSource, State
from caffe.data.transform import Transformer, interleaved, random_words, times
from caffe.errors import CaffeError, DataError

_REPORTED = 10
_AT_ONCE = 16
"""Images decoded before they are transformed. In turn, the two would push each other out of the processor's
caches, and many processors slow down for a while whenever they go over to wide floating point arithmetic."""


@dataclass(slots=True)
class Job:
    """The records of a batch: what fetches each, and where each is in the endless stream."""

    items: Sequence[Any]
    indices: npt.NDArray[np.int64]


@dataclass
class Share:
    """Which records are this worker's: of ``count`` workers, number ``rank`` reads rank, rank + count, …"""

    count: int = 1
    rank: int = 0


class ImageBatches(BatchSource):
    """Batches of transformed images with their labels.

    A subclass says which items come next (:meth:`next_items`) and reads one (:meth:`fetch`). ``skip`` says
    that a damaged record is replaced by the next good one of its batch and counted in ``skipped``; else it
    is an error.
    """

    def __init__(
        self, batch_size: int, transformer: Transformer, seed: int, share: Share, skip: bool
    ) -> None:
        self.batch_size = batch_size
        self.transformer = transformer
        self.seed = seed
        self.share = share
        self.skip = skip
        self.skipped = 0
        self.index = 0
        """The first record of the next batch (of all workers)."""
        self._counting = threading.Lock()

    @abstractmethod
    def next_items(self, indices: npt.NDArray[np.int64]) -> Sequence[Any]:
        """The items of the next batch, whose places in the stream are ``indices``."""

    @abstractmethod
    def fetch(self, item: Any) -> tuple[Array, Array]:
        """Image (channels × height × width) and labels (a vector) of an item."""

    @abstractmethod
    def name(self, item: Any) -> str:
        """An item's key or file, for messages."""

    def plan(self) -> Job:
        step = self.share.count
        indices = self.index + self.share.rank + step * np.arange(self.batch_size, dtype=np.int64)
        items = self.next_items(indices)
        self.index += step * self.batch_size
        return Job(items, indices)

    def load(self, job: Job, allocate: Allocate) -> list[Array]:
        transformer = self.transformer
        images = labels = None
        words = random_words(self.seed, job.indices, 3).tolist() if transformer.random else None
        bad: list[int] = []
        fetched: list[tuple[int, Array]] = []
        for i, item in enumerate(job.items):
            try:
                image, label = self.fetch(item)
                if transformer.augmentations:
                    image = transformer.augment(image, self.seed, int(job.indices[i]))
                shape = transformer.output_shape(image.shape)  # type: ignore[arg-type]
                if images is None or labels is None:
                    images = _like(image, (len(job.items), *shape), allocate)
                    labels = allocate((len(job.items), label.size))
                self._check(images, labels, shape, label)
                fetched.append((i, image))
                labels[i] = label
            except CaffeError as error:
                error.message = f"Record '{self.name(item)}': {error.message}"
                if not self.skip:
                    raise
                self._count(error)
                bad.append(i)
            if images is not None and (len(fetched) == _AT_ONCE or i + 1 == len(job.items)):
                for j, image in fetched:
                    transformer.apply(image, images[j], None if words is None else words[j])
                fetched.clear()
        if images is None or labels is None:
            raise DataError(
                f"All {len(job.items)} records of a batch, from '{self.name(job.items[0])}' on, are damaged"
            )
        for i in bad:
            good = next(j for j in [*range(i + 1, len(job.items)), *range(i, -1, -1)] if j not in bad)
            images[i], labels[i] = images[good], labels[good]
        return [images, labels.reshape(-1) if labels.shape[1] == 1 else labels]

    def _check(self, images: Array, labels: Array, shape: tuple[int, ...], label: Array) -> None:
        if shape != images.shape[1:]:
            raise DataError(
                f"it must have the shape {times(images.shape[1:])} of the first of its batch; "
                f"got {times(shape)}",
                fix="Set crop_size, make all images of one size, or use batch_size: 1",
            )
        if label.size != labels.shape[1]:
            raise DataError(
                f"it must have {labels.shape[1]} labels as the first of its batch; got {label.size}"
            )

    def _count(self, error: CaffeError) -> None:
        with self._counting:
            self.skipped += 1
            if self.skipped <= _REPORTED:
                logs.warning(f"Skipped, {self.skipped} so far: {error}")

    def state(self) -> State:
        return {"index": self.index, "seed": self.seed}

    def restore(self, state: State) -> None:
        self.index = int(state["index"])
        self.seed = int(state["seed"])


def _like(image: Array, shape: tuple[int, ...], allocate: Allocate) -> Array:
    """Memory for a batch, in the image's own order: colours interleaved (channels_last) or in planes."""
    if interleaved(image):
        n, c, h, w = shape
        return allocate((n, h, w, c)).transpose(0, 3, 1, 2)
    return allocate(shape)
