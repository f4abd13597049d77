"""Batches of AnnotatedDatum records from a database: images with boxes, augmented as in SSD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffe.data import picture
from caffe.data.annotated_image import AnnotatedImage, crop, expand, resize_boxes, sample
from caffe.data.image_batches import Job, Share
from caffe.data.prefetch import Allocate, Array
from caffe.data.sources.keyed import key_text
from caffe.data.sources.records import RecordBatches
from caffe.data.transform import Transformer, random_words
from caffe.errors import CaffeError, CorruptDataError, DataError
from caffe.formats.datum import Datum
from caffe.proto import caffe_pb2

Transformation = caffe_pb2.TransformationParameter
AUGMENTING = 0xA11  # keeps these random numbers apart from the transformer's


@dataclass
class Ready:
    """An image (H × W × channels) to be cropped and mirrored, the words of chance for that, and its boxes."""

    image: AnnotatedImage
    words: Array
    label: float


class AnnotatedBatches(RecordBatches):
    """Two arrays a batch: images, and rows image, label, instance, 4 coordinates, difficult (1 × 1 × M × 8).

    Records without annotations give their datum's label (batch) instead.
    """

    def __init__(
        self,
        path: str,
        backend: str | None,
        batch_size: int,
        transformer: Transformer,
        param: Transformation,
        samplers: Sequence[caffe_pb2.BatchSampler],
        *,
        annotated: bool | None = None,
        seed: int = 0,
        share: Share | None = None,
        skip: bool = False,
    ) -> None:
        self.param = param
        self.samplers = list(samplers)
        self.emit = param.emit_constraint if param.HasField("emit_constraint") else None
        super().__init__(path, backend, batch_size, transformer, seed=seed, share=share, skip=skip)
        if annotated is not None:
            self.annotated = annotated

    def _first(self) -> Datum:
        cursor = self._database.cursor()
        try:
            [(key, value)] = cursor.take(1)
            self.first_key = key_text(key)
            self.first_record = _parse(value)
        finally:
            cursor.close()
        self.annotated = self.first_record.HasField("type")
        return _datum(self.first_record.datum)

    def first_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the first batch, as far as the first record tells."""
        ready = self._prepare(self.first_record, 0)
        pixels = ready.image.pixels
        shape = self.transformer.output_shape((pixels.shape[2], *pixels.shape[:2]))
        rows = (1, 1, max(len(ready.image.labels), 1), 8) if self.annotated else (self.batch_size,)
        return [(self.batch_size, *shape), rows]

    def _load(self, job: Job, allocate: Allocate) -> list[Array]:
        images: Array | None = None
        rows: list[Array] = []
        labels = allocate((len(job.items),))
        bad: list[int] = []
        for i, item in enumerate(job.items):
            try:
                ready = self._prepare(_parse(item[1]), int(job.indices[i]))
                pixels = ready.image.pixels.transpose(2, 0, 1)
                shape = self.transformer.output_shape(pixels.shape)  # type: ignore[arg-type]
                if images is None:
                    images = allocate((len(job.items), *shape[1:], shape[0])).transpose(0, 3, 1, 2)
                if shape != images.shape[1:]:
                    raise DataError(
                        f"must have the shape {list(images.shape[1:])} of the first of its batch; got"
                        f" {list(shape)}",
                        fix="Set resize_param with resize_mode: WARP, or batch_size: 1",
                    )
                self.transformer.apply(pixels, images[i], ready.words)
                labels[i] = ready.label
                rows.append(self._rows(i, ready, shape))
            except CaffeError as error:
                error.message = f"Record '{self.name(item)}': {error.message}"
                if not self.skip:
                    raise
                self._count(error)
                bad.append(i)
        if images is None:
            raise DataError(f"All records of a batch, from '{self.name(job.items[0])}' on, are damaged")
        for i in bad:
            good = next(j for j in [*range(i + 1, len(job.items)), *range(i, -1, -1)] if j not in bad)
            images[i], labels[i] = images[good], labels[good]
        if not self.annotated:
            return [images, labels]
        joined = np.concatenate(rows) if rows else np.zeros((0, 8))
        out = allocate((1, 1, max(len(joined), 1), 8))
        out[...] = joined if len(joined) else -1
        return [images, out]

    def _prepare(self, record: caffe_pb2.AnnotatedDatum, index: int) -> Ready:
        """Decode, distort, expand, sample, resize and add noise."""
        p = self.param
        if self.annotated and not record.HasField("type"):
            raise DataError("it has no annotations, unlike the first record")
        decoded, _ = self.read(_datum(record.datum))
        pixels = np.ascontiguousarray(decoded.transpose(1, 2, 0))
        if pixels.dtype != np.uint8 and (p.HasField("distort_param") or p.HasField("noise_param")):
            raise DataError(f"distortion and noise need 8-bit images; got {pixels.dtype}")
        words = random_words(self.seed, [index], 3)[0]
        rng = np.random.Generator(np.random.PCG64([AUGMENTING, self.seed, index]))
        if p.HasField("distort_param"):
            pixels = picture.distort(pixels, p.distort_param, rng)
        image = AnnotatedImage.of(pixels, record)
        if p.HasField("expand_param"):
            image = expand(image, p.expand_param, self._background(), self.emit, rng)
        if self.samplers:
            window = sample(image, self.samplers, rng)
            if window is not None:
                image = crop(image, window, self.emit)
        if p.resize_param:
            policy = p.resize_param[self._policy(index)]
            size = (image.pixels.shape[0], image.pixels.shape[1])
            image.boxes = resize_boxes(image.boxes, size, policy)
            image.pixels = picture.resize(np.ascontiguousarray(image.pixels), policy, rng)
        if p.HasField("noise_param"):
            image.pixels = picture.add_noise(np.ascontiguousarray(image.pixels), p.noise_param, rng)
        return Ready(image, words, float(record.datum.label))

    def _policy(self, index: int) -> int:
        """Which of several resize_param a record's batch takes."""
        batch = index // (self.batch_size * self.share.count)
        return int(random_words(self.seed ^ AUGMENTING, [batch], 1)[0, 0]) % len(self.param.resize_param)

    def _background(self) -> Array | float:
        """What expanding fills with: the mean."""
        mean = self.transformer.mean
        if mean is None:
            return 0.0
        color: Array = np.rint(mean.reshape(len(mean), -1).mean(1))
        return color

    def _rows(self, number: int, ready: Ready, shape: tuple[int, ...]) -> Array:
        """The annotation rows of an image, after the transformer's crop to ``shape`` and its mirror."""
        image, transformer, words = ready.image, self.transformer, ready.words
        height, width = image.pixels.shape[:2]
        if transformer.crop[0]:
            down, right = height - shape[1], width - shape[2]
            if transformer.train:
                top, left = int(words[0]) % (down + 1), int(words[1]) % (right + 1)
            else:
                top, left = down // 2, right // 2
            window = [left / width, top / height, (left + shape[2]) / width, (top + shape[1]) / height]
            image = image.viewed(image.pixels, np.array(window), self.emit)
        else:
            image = image.viewed(image.pixels, np.array([0.0, 0.0, 1.0, 1.0]), self.emit)
        mirrored = transformer.mirror and int(words[2]) >> 63
        rows = np.empty((len(image.labels), 8), np.float32)
        rows[:, 0], rows[:, 1], rows[:, 2] = number, image.labels, image.instances
        rows[:, 3:7] = image.mirrored_boxes() if mirrored else image.boxes
        rows[:, 7] = image.difficult
        return rows


def _parse(value: Any) -> caffe_pb2.AnnotatedDatum:
    from google.protobuf.message import DecodeError

    try:
        return caffe_pb2.AnnotatedDatum.FromString(bytes(value))
    except DecodeError as error:
        raise CorruptDataError(
            f"These {len(value)} bytes are no AnnotatedDatum: {error}",
            fix="Make the database with annotations, or use a Data layer",
        ) from None


def _datum(message: caffe_pb2.Datum) -> Datum:
    return Datum(
        message.channels,
        message.height,
        message.width,
        message.data,
        message.label if message.HasField("label") else None,
        np.array(message.float_data, np.float32),
        message.encoded,
    )
