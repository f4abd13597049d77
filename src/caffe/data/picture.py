"""What SSD does to pictures: distort colours, add noise, resize. Pixels are H × W × channels of uint8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from caffe.data.prefetch import Array
from caffe.errors import LayerError
from caffe.proto import caffe_pb2

Distortion = caffe_pb2.DistortionParameter
Noise = caffe_pb2.NoiseParameter
Resize = caffe_pb2.ResizeParameter
Rng = np.random.Generator


def distort(pixels: Array, p: Distortion, rng: Rng) -> Array:
    """Brightness, contrast, saturation, hue and the order of the channels, each by chance.

    Contrast comes second or, as often, after hue.
    """
    if pixels.shape[2] != 3:
        raise LayerError(f"needs images of 3 channels; got {pixels.shape[2]}", field="distort_param")
    contrast_early = rng.random() > 0.5
    pixels = _brightness(pixels, p, rng)
    if contrast_early:
        pixels = _contrast(pixels, p, rng)
    pixels = _saturation(pixels, p, rng)
    pixels = _hue(pixels, p, rng)
    if not contrast_early:
        pixels = _contrast(pixels, p, rng)
    if rng.random() < p.random_order_prob:
        pixels = np.ascontiguousarray(pixels[:, :, rng.permutation(3)])
    return pixels


def _brightness(pixels: Array, p: Distortion, rng: Rng) -> Array:
    if rng.random() >= p.brightness_prob:
        return pixels
    if p.brightness_delta < 0:
        raise LayerError(f"must be at least 0; got {p.brightness_delta:g}", field="brightness_delta")
    return _saturated(pixels.astype(np.float32) + rng.uniform(-p.brightness_delta, p.brightness_delta))


def _between(p: Distortion, name: str, rng: Rng) -> float:
    low, high = getattr(p, f"{name}_lower"), getattr(p, f"{name}_upper")
    if not 0 <= low <= high:
        raise LayerError(f"must be from 0 to {name}_upper = {high:g}; got {low:g}", field=f"{name}_lower")
    return float(rng.uniform(low, high))


def _contrast(pixels: Array, p: Distortion, rng: Rng) -> Array:
    if rng.random() >= p.contrast_prob:
        return pixels
    return _saturated(pixels.astype(np.float32) * _between(p, "contrast", rng))


def _saturation(pixels: Array, p: Distortion, rng: Rng) -> Array:
    if rng.random() >= p.saturation_prob:
        return pixels
    factor = _between(p, "saturation", rng)
    return _in_hsv(pixels, 1, lambda values: values * factor)


def _hue(pixels: Array, p: Distortion, rng: Rng) -> Array:
    if rng.random() >= p.hue_prob:
        return pixels
    if p.hue_delta < 0:
        raise LayerError(f"must be at least 0; got {p.hue_delta:g}", field="hue_delta")
    delta = rng.uniform(-p.hue_delta, p.hue_delta)
    return _in_hsv(pixels, 0, lambda values: values + delta)


def _in_hsv(pixels: Array, channel: int, change: Callable[[Array], Array]) -> Array:
    import cv2

    hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
    hsv[:, :, channel] = _saturated(change(hsv[:, :, channel].astype(np.float32)))
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))


def _saturated(values: Array) -> Array:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def add_noise(pixels: Array, p: Noise, rng: Rng) -> Array:
    """Every change that the parameters name, in the original's order."""
    import cv2

    color = pixels.shape[2] == 3
    if (p.decolorize or p.jpeg > 0 or p.convert_to_hsv or p.convert_to_lab) and not color:
        raise LayerError(f"needs images of 3 channels; got {pixels.shape[2]}", field="noise_param")
    if p.decolorize:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if p.gauss_blur:
        pixels = _with_channels(cv2.GaussianBlur(pixels, (7, 7), 1.5))
    if p.hist_eq:
        pixels = _in_luma(pixels, cv2.equalizeHist)
    if p.clahe:
        pixels = _in_luma(pixels, cv2.createCLAHE(clipLimit=4).apply)
    if p.jpeg > 0:
        _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(p.jpeg)])
        pixels = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    if p.erode:
        pixels = _with_channels(cv2.erode(pixels, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))))
    if p.posterize:
        pixels = pixels // 64 * 64 + 32
    if p.inverse:
        pixels = 255 - pixels
    if p.saltpepper:
        pixels = _salt(pixels, p.saltpepper_param, rng)
    if p.convert_to_hsv:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
    if p.convert_to_lab:
        pixels = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    return np.asarray(pixels)


def _with_channels(pixels: Any) -> Array:
    return pixels[:, :, None] if pixels.ndim == 2 else np.asarray(pixels)


def _in_luma(pixels: Array, change: Callable[..., Any]) -> Array:
    import cv2

    if pixels.shape[2] != 3:
        return _with_channels(change(np.ascontiguousarray(pixels[:, :, 0])))
    ycrcb = cv2.cvtColor(pixels, cv2.COLOR_BGR2YCrCb)
    ycrcb[:, :, 0] = change(np.ascontiguousarray(ycrcb[:, :, 0]))
    return np.asarray(cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2BGR))


def _salt(pixels: Array, p: caffe_pb2.SaltPepperParameter, rng: Rng) -> Array:
    height, width, channels = pixels.shape
    if len(p.value) not in (1, channels):
        raise LayerError(
            f"must have 1 value or {channels}; got {len(p.value)}", field="saltpepper_param.value"
        )
    count = int(p.fraction * height * width)
    pixels = pixels.copy()
    pixels[rng.integers(height, size=count), rng.integers(width, size=count)] = np.array(p.value, np.uint8)
    return pixels


def resize(pixels: Array, p: Resize, rng: Rng) -> Array:
    """The image in the size and manner that the parameters say, by an interpolation drawn from those they
    list."""
    import cv2

    if not p.height or not p.width:
        raise LayerError(
            f"must be positive, as width; got {p.height} and {p.width}", field="resize_param.height"
        )
    modes = {
        Resize.LINEAR: cv2.INTER_LINEAR,
        Resize.AREA: cv2.INTER_AREA,
        Resize.NEAREST: cv2.INTER_NEAREST,
        Resize.CUBIC: cv2.INTER_CUBIC,
        Resize.LANCZOS4: cv2.INTER_LANCZOS4,
    }
    drawn = p.interp_mode[rng.integers(len(p.interp_mode))] if p.interp_mode else Resize.LINEAR
    width, height = resized_size((pixels.shape[0], pixels.shape[1]), p)[::-1]
    made = _with_channels(cv2.resize(pixels, (width, height), interpolation=modes[drawn]))
    if p.resize_mode != Resize.FIT_LARGE_SIZE_AND_PAD:
        return made
    top, left = (p.height - height) // 2, (p.width - width) // 2
    borders = {
        Resize.CONSTANT: cv2.BORDER_CONSTANT,
        Resize.MIRRORED: cv2.BORDER_REFLECT_101,
        Resize.REPEAT_NEAREST: cv2.BORDER_REPLICATE,
    }
    channels = made.shape[2]
    if len(p.pad_value) not in (0, 1, channels):
        raise LayerError(f"must have 1 value or {channels}; got {len(p.pad_value)}", field="pad_value")
    value = list(p.pad_value) * (channels if len(p.pad_value) == 1 else 1) or [0.0] * channels
    sides = (top, p.height - height - top, left, p.width - width - left)
    return _with_channels(cv2.copyMakeBorder(made, *sides, borders[p.pad_mode], value=value))


def resized_size(size: tuple[int, int], p: Resize) -> tuple[int, int]:
    """Height and width of an image of ``size`` after resizing, before padding."""
    aspect, wanted = size[1] / size[0], p.width / p.height
    if p.resize_mode == Resize.WARP or aspect == wanted:
        return p.height, p.width
    fills_width = aspect > wanted
    if (p.resize_mode == Resize.FIT_LARGE_SIZE_AND_PAD) == fills_width:
        return max(int(p.width / aspect), 1), p.width
    return p.height, max(int(aspect * p.height), 1)
