"""Images with annotated boxes, and what SSD does to both: crop, expand, mirror, sample, resize.

Boxes are xmin, ymin, xmax, ymax in units of the image's width and height.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffe import boxes
from caffe.data.prefetch import Array
from caffe.errors import DataError, LayerError
from caffe.proto import caffe_pb2

Resize = caffe_pb2.ResizeParameter


@dataclass
class AnnotatedImage:
    """Pixels (H × W × channels of uint8) and boxes (M × 4) with their labels, instances, difficulties (M
    each)."""

    pixels: Array
    boxes: Array
    labels: Array
    instances: Array
    difficult: Array

    @classmethod
    def of(cls, pixels: Array, record: caffe_pb2.AnnotatedDatum) -> AnnotatedImage:
        """The annotations of a record, by group, with their image."""
        pairs = [(g.group_label, a) for g in record.annotation_group for a in g.annotation]
        rows = [(a.bbox.xmin, a.bbox.ymin, a.bbox.xmax, a.bbox.ymax) for _, a in pairs]
        return cls(
            pixels,
            np.array(rows, dtype=np.float64).reshape(-1, 4),
            np.array([label for label, _ in pairs], dtype=np.int64),
            np.array([a.instance_id for _, a in pairs], dtype=np.int64),
            np.array([a.bbox.difficult for _, a in pairs], dtype=np.int64),
        )

    def viewed(
        self, pixels: Array, window: Array, emit: caffe_pb2.EmitConstraint | None = None
    ) -> AnnotatedImage:
        """Other pixels, which show ``window`` of this image; boxes outside it, or that ``emit`` rules out,
        go."""
        low, size = window[:2], window[2:] - window[:2]
        inside = (self.boxes[:, :2] < window[2:]).all(1) & (self.boxes[:, 2:] > low).all(1)
        if emit is not None:
            inside &= _may_stay(self.boxes, window, emit)
        seen = (self.boxes - np.tile(low, 2)) / np.tile(size, 2)
        seen = np.clip(seen, 0, 1)
        inside &= boxes.areas(seen) > 0
        return AnnotatedImage(
            pixels, seen[inside], self.labels[inside], self.instances[inside], self.difficult[inside]
        )

    def mirrored_boxes(self) -> Array:
        """The boxes of the image seen in a mirror."""
        mirrored = self.boxes.copy()
        mirrored[:, [0, 2]] = 1 - self.boxes[:, [2, 0]]
        return mirrored


def _may_stay(found: Array, window: Array, emit: caffe_pb2.EmitConstraint) -> Array:
    if emit.emit_type == emit.CENTER:
        center = (found[:, :2] + found[:, 2:]) / 2
        return np.asarray(((center >= window[:2]) & (center <= window[2:])).all(1))
    return np.asarray(coverages(found, window) > emit.emit_overlap)


def coverages(found: Array, other: Array) -> Array:
    """The share of each box's area (M) that ``other`` (4) covers."""
    low, high = np.maximum(found[:, :2], other[:2]), np.minimum(found[:, 2:], other[2:])
    common = np.clip(high - low, 0, None).prod(1)
    share: Array = common / np.maximum(boxes.areas(found), 1e-12)
    return share


def crop(image: AnnotatedImage, window: Array, emit: caffe_pb2.EmitConstraint | None) -> AnnotatedImage:
    """The part of an image that ``window`` (4, clipped to the image) shows. Raises DataError for an empty
    one."""
    window = np.clip(window, 0, 1)
    height, width = image.pixels.shape[:2]
    left, top = int(window[0] * width), int(window[1] * height)
    w, h = int((window[2] - window[0]) * width), int((window[3] - window[1]) * height)
    if w < 1 or h < 1:
        raise DataError(f"a sample of it has no pixels: {np.round(window, 4).tolist()} of {height}×{width}")
    shown = np.array([left / width, top / height, (left + w) / width, (top + h) / height])  # whole pixels
    return image.viewed(image.pixels[top : top + h, left : left + w], shown, emit)


def expand(
    image: AnnotatedImage,
    param: caffe_pb2.ExpansionParameter,
    background: Array | float,
    emit: caffe_pb2.EmitConstraint | None,
    rng: np.random.Generator,
) -> AnnotatedImage:
    """By chance, the image somewhere in a larger one of ``background``."""
    if rng.random() > param.prob or abs(param.max_expand_ratio - 1) < 1e-2:
        return image
    if param.max_expand_ratio < 1:
        raise LayerError(f"must be at least 1; got {param.max_expand_ratio:g}", field="max_expand_ratio")
    height, width, channels = image.pixels.shape
    ratio = rng.uniform(1, param.max_expand_ratio)
    h, w = int(height * ratio), int(width * ratio)
    top, left = int(rng.uniform(0, h - height)), int(rng.uniform(0, w - width))
    pixels = np.empty((h, w, channels), image.pixels.dtype)
    pixels[...] = background
    pixels[top : top + height, left : left + width] = image.pixels
    window = np.array([-left / width, -top / height, (w - left) / width, (h - top) / height])
    return image.viewed(pixels, window, emit)


def sample(
    image: AnnotatedImage, samplers: Sequence[caffe_pb2.BatchSampler], rng: np.random.Generator
) -> Array | None:
    """One of the windows (4) that the samplers found in the image; None where they found none."""
    windows: list[Array] = []
    for sampler in samplers:
        if not sampler.use_original_image:
            continue
        count = 0
        for _ in range(sampler.max_trials):
            if sampler.HasField("max_sample") and count >= sampler.max_sample:
                break
            window = _draw(sampler.sampler, rng)
            if _allowed(window, image.boxes, sampler.sample_constraint):
                windows.append(window)
                count += 1
    return windows[rng.integers(len(windows))] if windows else None


def _draw(p: caffe_pb2.Sampler, rng: np.random.Generator) -> Array:
    if not 0 < p.min_scale <= p.max_scale <= 1:
        raise LayerError(
            f"must be above 0, and max_scale from there to 1; got {p.min_scale:g} and {p.max_scale:g}",
            field="min_scale",
        )
    if not 0 < p.min_aspect_ratio <= p.max_aspect_ratio:
        raise LayerError(
            f"must be above 0, and max_aspect_ratio not less; got {p.min_aspect_ratio:g} and"
            f" {p.max_aspect_ratio:g}",
            field="min_aspect_ratio",
        )
    scale = rng.uniform(p.min_scale, p.max_scale)
    # within these limits neither side is longer than the image's
    least, most = max(p.min_aspect_ratio, scale**2), min(p.max_aspect_ratio, 1 / scale**2)
    root = np.sqrt(rng.uniform(least, most) if least < most else least)
    size = np.minimum([scale * root, scale / root], 1)
    corner = rng.uniform(0, 1, 2) * (1 - size)
    return np.concatenate([corner, corner + size])


def _allowed(window: Array, found: Array, p: caffe_pb2.SampleConstraint) -> bool:
    """Whether some box stands to the window as the constraint says (any window will do without one)."""
    kinds = ("jaccard_overlap", "sample_coverage", "object_coverage")
    given = [k for k in kinds if p.HasField(f"min_{k}") or p.HasField(f"max_{k}")]
    if not given:
        return True
    good = np.ones(len(found), dtype=bool)
    for kind in given:
        if kind == "jaccard_overlap":
            values = boxes.overlaps(window[None], found)[0]
        else:
            values = coverages(found, window)
            if kind == "sample_coverage":
                values = values * boxes.areas(found) / boxes.areas(window[None])
        if p.HasField(f"min_{kind}"):
            good &= values >= getattr(p, f"min_{kind}")
        if p.HasField(f"max_{kind}"):
            good &= values <= getattr(p, f"max_{kind}")
    return bool(good.any())


def resize_boxes(found: Array, size: tuple[int, int], p: Resize) -> Array:
    """Where boxes of an image of ``size`` (height, width) are after it was resized."""
    found = np.clip(found, 0, 1)
    if p.resize_mode != Resize.FIT_LARGE_SIZE_AND_PAD:
        return found
    (height, width), aspect = size, p.width / p.height
    part = (
        np.array([1, aspect * height / width])
        if width / height > aspect
        else np.array([width / height / aspect, 1])
    )
    moved: Array = found * np.tile(part, 2) + np.tile((1 - part) / 2, 2)
    return moved
