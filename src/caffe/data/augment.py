"""Augmentations: random changes of 8-bit images in TRAIN, before the crop.

A prototxt lists them as ``transform_param { augmentation { type: "ColorJitter" brightness: 0.4 } }``. One
of your own is a function of an image (height × width × channels, BGR, uint8) and a
``numpy.random.Generator``::

    @caffe.data.augment.register("Speckle")
    def speckle(param):
        def change(image, rng):
            return numpy.where(rng.random(image.shape[:2])[..., None] < 0.01, 255, image).astype("uint8")
        return change

The generator is made from the seed and the record's index, so that images are the same whatever the threads
do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from caffe.errors import InputError, LayerError, close_names
from caffe.proto import caffe_pb2

Image = npt.NDArray[Any]
Change = Callable[[Image, np.random.Generator], Image]
Maker = Callable[[caffe_pb2.ImageAugmentationParameter], Change]
_M = TypeVar("_M", bound=Maker)

_makers: dict[str, Maker] = {}


def register(name: str) -> Callable[[_M], _M]:
    """Decorator: makes ``maker(param) -> change`` available as ``augmentation { type: "name" }``.

    Raises InputError when the name is taken.
    """

    def add(maker: _M) -> _M:
        if name in _makers:
            raise InputError(f"The augmentation '{name}' exists already", fix="Choose another name")
        _makers[name] = maker
        return maker

    return add


def build(param: caffe_pb2.ImageAugmentationParameter) -> Change:
    """The change a message describes, made with its probability. Raises LayerError for an unknown type."""
    maker = _makers.get(param.type)
    if maker is None:
        raise LayerError(
            f"There is no augmentation '{param.type}': it must be one of {', '.join(sorted(_makers))}",
            field="transform_param.augmentation.type",
            fix=close_names(param.type, _makers) or "Register it with caffe.data.augment.register",
        )
    change = maker(param)
    probability = param.probability
    if probability >= 1:
        return change
    return lambda image, rng: change(image, rng) if rng.random() < probability else image


@register("ColorJitter")
def color_jitter(param: caffe_pb2.ImageAugmentationParameter) -> Change:
    """Brightness, then contrast (about the mean gray), then saturation, by factors from [1 - x, 1 + x]."""
    amounts = (param.brightness, param.contrast, param.saturation)

    def change(image: Image, rng: np.random.Generator) -> Image:
        bright, contrast, saturation = (rng.uniform(max(0.0, 1 - a), 1 + a) for a in amounts)
        pixels = image.astype(np.float32) * np.float32(bright)
        if amounts[1]:
            mean = _gray(pixels).mean()
            pixels = (pixels - mean) * np.float32(contrast) + mean
        if amounts[2] and image.shape[2] == 3:
            gray = _gray(pixels)[..., None]
            pixels = (pixels - gray) * np.float32(saturation) + gray
        changed: Image = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return changed

    return change


def _gray(pixels: Image) -> Any:
    weights = [0.114, 0.587, 0.299] if pixels.shape[2] == 3 else [1 / pixels.shape[2]] * pixels.shape[2]
    return pixels @ np.array(weights, np.float32)


def _box(param: caffe_pb2.ImageAugmentationParameter, area: tuple[float, float]) -> Callable[..., Any]:
    """Draws (top, left, height, width) with a part of the image's area and a width / height from the
    ranges.
    """
    least = param.min_area if param.HasField("min_area") else area[0]
    most = param.max_area if param.HasField("max_area") else area[1]
    if not 0 < least <= most <= 1:
        raise LayerError(
            f"min_area and max_area must satisfy 0 < min_area <= max_area <= 1; got {least:g} and {most:g}",
            field="transform_param.augmentation",
        )
    aspects = math.log(param.min_aspect), math.log(param.max_aspect)

    def draw(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int, int, int] | None:
        rows, columns = shape[:2]
        for _ in range(10):
            part = rng.uniform(least, most) * rows * columns
            aspect = math.exp(rng.uniform(*aspects))
            width, height = round(math.sqrt(part * aspect)), round(math.sqrt(part / aspect))
            if 0 < width <= columns and 0 < height <= rows:
                top, left = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
                return top, left, height, width
        return None

    return draw


@register("RandomResizedCrop")
def random_resized_crop(param: caffe_pb2.ImageAugmentationParameter) -> Change:
    """A box of 8 to 100 % of the area, resized to the image's size (Szegedy et al. 2015)."""
    draw = _box(param, (0.08, 1.0))

    def change(image: Image, rng: np.random.Generator) -> Image:
        import cv2

        box = draw(image.shape, rng)
        if box is None:
            return image
        top, left, height, width = box
        part = image[top : top + height, left : left + width]
        return np.asarray(cv2.resize(part, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR))

    return change


@register("RandomErasing")
def random_erasing(param: caffe_pb2.ImageAugmentationParameter) -> Change:
    """A box of 2 to 33 % of the area, filled with ``fill`` (Zhong et al. 2017)."""
    draw = _box(param, (0.02, 0.33))

    def change(image: Image, rng: np.random.Generator) -> Image:
        box = draw(image.shape, rng)
        if box is None:
            return image
        top, left, height, width = box
        image = image.copy()
        image[top : top + height, left : left + width] = np.uint8(param.fill)
        return image

    return change


@register("RandomRotation")
def random_rotation(param: caffe_pb2.ImageAugmentationParameter) -> Change:
    """A turn about the centre, the border filled by reflection."""

    def change(image: Image, rng: np.random.Generator) -> Image:
        import cv2

        rows, columns = image.shape[:2]
        angle = rng.uniform(-param.degrees, param.degrees)
        matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), angle, 1.0)
        return np.asarray(cv2.warpAffine(image, matrix, (columns, rows), borderMode=cv2.BORDER_REFLECT_101))

    return change


@register("GaussianBlur")
def gaussian_blur(param: caffe_pb2.ImageAugmentationParameter) -> Change:
    """A blur of random strength."""

    def change(image: Image, rng: np.random.Generator) -> Image:
        import cv2

        sigma = rng.uniform(param.min_sigma, param.max_sigma)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))

    return change
