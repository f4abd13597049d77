"""The transformer: what happens to an image between its source and the net.

``out[c, y, x] = scale · (image[c, y + top, x + left] − mean)``, then mirrored. The crop is at random places
in TRAIN and in the centre in TEST; ``mirror`` flips every second image, by chance, in both phases, as in
the original. Random numbers are a function of the seed and the record's index alone, so that they do not
depend on how many threads there are, or in which order these finish.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from caffe.errors import CorruptDataError, DataError, InputError, LayerError
from caffe.formats import images
from caffe.formats.binaryproto import read_blob
from caffe.formats.datum import Bytes
from caffe.proto import caffe_pb2

Array = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]
Augmentation = Callable[[Array, np.random.Generator], Array]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def random_words(seed: int, indices: npt.ArrayLike, count: int) -> Words:
    """``count`` random 64-bit numbers for each index, a function of seed and index (SplitMix64)."""
    with np.errstate(over="ignore"):
        start = _mix(np.uint64(seed & 0xFFFFFFFFFFFFFFFF) + _GOLDEN)
        at = np.asarray(indices, np.uint64)[..., None] * np.uint64(count) + np.arange(
            1, count + 1, dtype=np.uint64
        )
        words: Words = _mix(start + at * _GOLDEN)
        return words


def _mix(word: Any) -> Any:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def decode(data: Bytes, color: bool | None = None) -> Array:
    """An image file's bytes as H×W×channels (BGR) or H×W (gray) of uint8.

    ``color`` None takes the file's own channels. Raises CorruptDataError, DataError (not 8 bits a channel).
    """
    import cv2

    flag = cv2.IMREAD_UNCHANGED if color is None else cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE
    encoded = np.frombuffer(data, np.uint8)
    image = images.decoded(data, flag)
    if image is None or _cut_off(encoded):
        what = "cut off" if image is not None else "no image that can be decoded"
        raise CorruptDataError(f"The {len(data)} bytes are {what}")
    if image.dtype != np.uint8:
        raise DataError(
            f"An image must have 8 bits a channel; got {image.dtype}", fix="Set force_color or force_gray"
        )
    return np.asarray(image)


def _cut_off(encoded: npt.NDArray[np.uint8]) -> bool:
    """Whether a JPEG lacks its end; decoders differ in whether they mind."""
    if encoded[0] != 0xFF or encoded[1] != 0xD8 or (encoded[-2] == 0xFF and encoded[-1] == 0xD9):
        return False
    raw = encoded.tobytes()
    return raw.rfind(b"\xff\xd9") < raw.rfind(b"\xff\xda")


def planes(image: Array) -> Array:
    """H×W or H×W×C as C×H×W; a view."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def read_mean(path: str) -> npt.NDArray[np.float32]:
    """The mean image of a .binaryproto, channels × height × width. Raises MissingFileError, DataError."""
    mean = read_blob(path)
    if mean.ndim < 3 or not mean.size or np.prod(mean.shape[:-3]) != 1:
        raise DataError(f"The mean file must hold one image; got shape {list(mean.shape)}", file=path)
    return np.array(mean.reshape(mean.shape[-3:]), np.float32)


class Transformer:
    """A TransformationParameter at work in a phase. Raises LayerError for parameters that contradict."""

    def __init__(self, param: caffe_pb2.TransformationParameter, phase: int) -> None:
        self.train = phase == caffe_pb2.TRAIN
        self.scale = np.float32(param.scale)
        self.mirror = param.mirror
        self.crop = (param.crop_size, param.crop_size) if param.crop_size else (param.crop_h, param.crop_w)
        if param.crop_size and (param.crop_h or param.crop_w):
            raise LayerError(
                "must not be given together with crop_h and crop_w", field="transform_param.crop_size"
            )
        if bool(self.crop[0]) != bool(self.crop[1]):
            raise LayerError(
                "crop_h and crop_w must both be given, or neither", field="transform_param.crop_h"
            )
        if param.force_color and param.force_gray:
            raise LayerError("must not be set together with force_gray", field="transform_param.force_color")
        self.color = True if param.force_color else False if param.force_gray else None
        self.mean: npt.NDArray[np.float32] | None = None
        self._means: dict[tuple[bool, bool], Array] = {}
        self._scalar: tuple[float, ...] | None = None
        self._mean_file = param.mean_file
        if param.mean_file and len(param.mean_value):
            raise LayerError("must not be given together with mean_value", field="transform_param.mean_file")
        if param.mean_file:
            self.mean = read_mean(param.mean_file)
        elif len(param.mean_value):
            self.mean = np.array(param.mean_value, np.float32).reshape(-1, 1, 1)
        self.augmentations: list[Augmentation] = []
        if self.train and len(param.augmentation):
            from caffe.data.augment import build

            self.augmentations = [build(a) for a in param.augmentation]

    @property
    def random(self) -> bool:
        """Whether chance has a part in it."""
        return self.mirror or (self.train and bool(self.crop[0])) or bool(self.augmentations)

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The shape of what comes out for an image of this channels × height × width. Raises DataError."""
        channels, height, width = shape
        crop_h, crop_w = self.crop
        if crop_h and (height < crop_h or width < crop_w):
            raise DataError(
                f"The crop of {crop_h}×{crop_w} must fit into the image; got an image of {height}×{width}",
                fix="Use a smaller crop_size, or larger images",
            )
        if self.mean is not None:
            self._check_mean(self.mean, shape)
        return (channels, crop_h, crop_w) if crop_h else shape

    def _check_mean(self, mean: Array, shape: tuple[int, int, int]) -> None:
        if self._mean_file and mean.shape != shape:
            raise DataError(
                f"The mean in '{self._mean_file}' must have the image's shape {times(shape)}; "
                f"got {times(mean.shape)}",
                fix="Compute the mean of these images, or use mean_value",
            )
        if not self._mean_file and len(mean) not in (1, shape[0]):
            raise DataError(
                f"There must be one mean_value, or one for each of {shape[0]} channels; got {len(mean)}"
            )

    def apply(self, image: Array, out: Array, words: Words | list[int] | None = None) -> None:
        """Transform channels × height × width (uint8 or float32) into ``out``, crop × crop.

        ``words`` are three random numbers: for top, left and mirror; needed if :attr:`random`.
        """
        mirrored = self.mirror and words is not None and bool(int(words[2]) >> 63)
        mean = self._mean_like(out, mirrored)
        crop_h, crop_w = self.crop
        if crop_h:
            top, left = image.shape[1] - crop_h, image.shape[2] - crop_w
            if self.train and words is not None:
                top, left = int(words[0]) % (top + 1), int(words[1]) % (left + 1)
            else:
                top, left = top // 2, left // 2
            image = image[:, top : top + crop_h, left : left + crop_w]
            if self._mean_file and mean is not None:
                start = mean.shape[2] - left - crop_w if mirrored else left
                mean = mean[:, top : top + crop_h, start : start + crop_w]
        image = _flip(image) if mirrored else image
        if mean is not None and interleaved(out) and interleaved(image) and image.dtype == np.uint8:
            self._subtract(image, mean, out)
            mean = None
        else:
            np.copyto(out, image)
        self.normalize(out, mean)

    def apply_all(self, images: Array, out: Array, words: Words | None = None) -> None:
        """Transform a batch of images of one shape; as :meth:`apply` for each, with its row of ``words``."""
        mean = self.mean
        crop_h, crop_w = self.crop
        if crop_h:
            down, right = images.shape[2] - crop_h, images.shape[3] - crop_w
            if self.train and words is not None:
                top = (words[:, 0] % np.uint64(down + 1)).astype(np.intp)
                left = (words[:, 1] % np.uint64(right + 1)).astype(np.intp)
                every = np.arange(len(images))
                images = sliding_window_view(images, self.crop, axis=(2, 3))[every, :, top, left]
                if self._mean_file and mean is not None:
                    mean = sliding_window_view(mean, self.crop, axis=(1, 2))[:, top, left].swapaxes(0, 1)
            else:
                rows, columns = slice(down // 2, down // 2 + crop_h), slice(right // 2, right // 2 + crop_w)
                images = images[:, :, rows, columns]
                if self._mean_file and mean is not None:
                    mean = mean[:, rows, columns]
        np.copyto(out, images)
        self.normalize(out, mean)
        if self.mirror and words is not None:
            flipped = words[:, 2] >> np.uint64(63) != 0
            out[flipped] = out[flipped][..., ::-1]

    def _subtract(self, image: Array, mean: Array, out: Array) -> None:
        """``out = image − mean`` of interleaved images in one pass; numpy would walk them pixel by pixel."""
        import cv2

        other: Any = mean.transpose(1, 2, 0) if self._mean_file else self._scalar
        if other is None:
            values = np.broadcast_to(mean.ravel(), len(image)).tolist()
            other = self._scalar = (*values, *[0.0] * (4 - len(values)))
        cv2.subtract(image.transpose(1, 2, 0), other, dst=out.transpose(1, 2, 0), dtype=cv2.CV_32F)

    def normalize(self, out: Array, mean: Array | None) -> None:
        """Subtract ``mean`` and multiply with the scale, in place."""
        if mean is not None:
            np.subtract(out, mean, out=out)
        if self.scale != 1:
            np.multiply(out, self.scale, out=out)

    def _mean_like(self, out: Array, mirrored: bool) -> Array | None:
        """The mean image, in the order in memory that ``out`` has, left to right or right to left."""
        if self.mean is None or not self._mean_file:
            return self.mean
        key = (interleaved(out), mirrored)
        if key not in self._means:
            mean = self.mean[:, :, ::-1] if mirrored else self.mean
            self._means[key] = (
                np.ascontiguousarray(mean.transpose(1, 2, 0)).transpose(2, 0, 1)
                if key[0]
                else np.ascontiguousarray(mean)
            )
        return self._means[key]

    def augment(self, image: Array, seed: int, index: int) -> Array:
        """Put a C×H×W uint8 image through the augmentations."""
        if image.dtype != np.uint8:
            raise DataError(f"Augmentations must get 8-bit images; got {image.dtype}")
        rng = np.random.Generator(np.random.PCG64(int(random_words(seed ^ 0x5EED, index, 1)[0])))
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
        for change in self.augmentations:
            pixels = change(pixels, rng)
            if pixels.ndim == 2:
                pixels = pixels[:, :, None]
            if pixels.ndim != 3 or pixels.dtype != np.uint8:
                raise InputError(
                    "An augmentation must return height × width × channels of uint8; "
                    f"got {pixels.shape} of {pixels.dtype}"
                )
        return pixels.transpose(2, 0, 1)


def interleaved(image: Array) -> bool:
    """Whether an image, channels × height × width, lies in memory pixel by pixel."""
    return image.shape[0] > 1 and image.strides[0] < image.strides[2]


def _flip(image: Array) -> Array:
    """Left to right. Interleaved colours go through cv2: numpy would walk them pixel by pixel."""
    if image.strides[0] != 1 or image.shape[0] not in (3, 4) or image.dtype != np.uint8:
        return image[:, :, ::-1]
    import cv2

    return np.asarray(cv2.flip(image.transpose(1, 2, 0), 1)).transpose(2, 0, 1)


def times(shape: tuple[int, ...]) -> str:
    """A shape as messages show it: 3×227×227."""
    return "×".join(map(str, shape))
