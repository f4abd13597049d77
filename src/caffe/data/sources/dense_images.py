"""Batches of image files with label images, a pair a line of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caffe.data.image_batches import Job, Share
from caffe.data.image_files import Entry, list_lines, read_image
from caffe.data.prefetch import Allocate, Array
from caffe.data.sources.image_list import ImageListBatches
from caffe.data.transform import Transformer, planes, random_words, times
from caffe.errors import CaffeError, DataError, LayerError
from caffe.proto import caffe_pb2


@dataclass(slots=True)
class Pair(Entry):
    """A line of the list: an image and the image of its labels."""

    label_name: str = ""


def read_pairs(path: str) -> list[Entry]:
    """The lines of a list: an image's name and its label image's. Raises MissingFileError, DataError."""
    pairs: list[Entry] = []
    for number, line in enumerate(list_lines(path), 1):
        names = line.split()
        if not names:
            continue
        if len(names) != 2:
            raise DataError(
                f"A line must be an image's name and its label image's, without spaces in them; got '{line}'",
                file=path,
                line=number,
            )
        pairs.append(Pair(names[0], np.zeros(0, np.float32), names[1]))
    if not pairs:
        raise DataError("The list is empty: it must name at least one pair of images", file=path)
    return pairs


class DenseImageBatches(ImageListBatches):
    """Batches of listed images and label images, cut and mirrored alike."""

    def __init__(
        self,
        pairs: list[Entry],
        root: str,
        batch_size: int,
        param: caffe_pb2.TransformationParameter,
        phase: int,
        *,
        height: int,
        width: int,
        color: bool,
        shuffle: bool,
        seed: int,
        share: Share,
        start: int,
    ) -> None:
        transformer = Transformer(param, phase)
        if transformer.augmentations:
            raise LayerError(
                "changes images and not their labels; it must be left out",
                field="transform_param.augmentation",
            )
        super().__init__(
            pairs,
            root,
            batch_size,
            transformer,
            height=height,
            width=width,
            color=color,
            shuffle=shuffle,
            seed=seed,
            share=share,
            start=start,
        )
        geometry = caffe_pb2.TransformationParameter(
            mirror=param.mirror, crop_size=param.crop_size, crop_h=param.crop_h, crop_w=param.crop_w
        )
        self._labels = Transformer(geometry, phase)

    def pair(self, item: Entry) -> tuple[Array, Array]:
        """The image and its labels, channels × height × width each. Raises DataError where sizes differ."""
        image, _ = self.fetch(item)
        path = self._root + (item.label_name if isinstance(item, Pair) else "")
        label = planes(_nearest(read_image(path, color=False), *self._size))
        if label.shape[1:] != image.shape[1:]:
            raise DataError(
                f"the label image '{path}' must have the image's size {times(image.shape[1:])};"
                f" got {times(label.shape[1:])}",
                fix="Set new_height and new_width, or correct the list",
            )
        return image, label

    def first_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of both tops, from the first pair."""
        first: Sequence[Entry] = self.next_items(np.arange(self.index, self.index + 1))
        try:
            shapes = [p.shape for p in self.pair(first[0])]
            transformers = (self.transformer, self._labels)
            return [(self.batch_size, *t.output_shape(s)) for t, s in zip(transformers, shapes)]  # type: ignore[arg-type]
        except CaffeError as error:
            error.message = f"Record '{self.name(first[0])}': {error.message}"
            raise

    def load(self, job: Job, allocate: Allocate) -> list[Array]:
        words = random_words(self.seed, job.indices, 3).tolist() if self.transformer.random else None
        tops: list[Array] = []
        for i, item in enumerate(job.items):
            try:
                pair = self.pair(item)
                shapes = [t.output_shape(p.shape) for t, p in zip((self.transformer, self._labels), pair)]  # type: ignore[arg-type]
                if not tops:
                    tops = [allocate((len(job.items), *shape)) for shape in shapes]
                if tops[0].shape[1:] != shapes[0]:
                    raise DataError(
                        f"it must have the shape {times(tops[0].shape[1:])} of the first of its batch;"
                        f" got {times(shapes[0])}",
                        fix="Set new_height and new_width, a crop_size, or use batch_size: 1",
                    )
            except CaffeError as error:
                error.message = f"Record '{self.name(item)}': {error.message}"
                raise
            for top, part, transformer in zip(tops, pair, (self.transformer, self._labels)):
                transformer.apply(part, top[i], None if words is None else words[i])
        return tops


def _nearest(image: npt.NDArray[np.uint8], height: int, width: int) -> Array:
    """Labels at another size: numbers of classes cannot be mixed."""
    if not (height and width) or image.shape[:2] == (height, width):
        return image
    import cv2

    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST))
