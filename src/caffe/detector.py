"""Detector: scores windows of images with a classification net, as in R-CNN (Girshick et al. 2014)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe import io
from caffe.classifier import Array, ImageNet
from caffe.errors import InputError, MissingPackageError
from caffe.resize import resize_image

Windows = Sequence[Sequence[float]] | Array


class Detector(ImageNet):
    """A net that scores windows: ``Detector(model, weights, mean=…, context_pad=16, …)``.

    A window is (ymin, xmin, ymax, xmax) in pixels. ``context_pad`` is how many pixels of surroundings a
    window's crop has, in the net's input, on every side.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[str, Windows]]) -> list[dict[str, Any]]:
        """Score the windows of (image file, windows) pairs.

        Returns a dict for each window: ``window``, ``prediction`` (the scores), ``filename``.
        Raises InputError for a window that is no part of its image.
        """
        places, crops = [], []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in np.asarray(windows):
                places.append((filename, window))
                crops.append(self.crop(image, window))
        if not crops:
            return []
        scores = self.scores(crops)
        return [
            {"window": window, "prediction": score, "filename": filename}
            for (filename, window), score in zip(places, scores)
        ]

    def detect_selective_search(self, image_fnames: Iterable[str]) -> list[dict[str, Any]]:
        """Score the windows that selective search proposes, with the package that the user brings.

        Raises MissingPackageError without ``selective_search_ijcv_with_python`` (which needs MATLAB).
        """
        try:
            import selective_search_ijcv_with_python as selective_search  # type: ignore[import-not-found]
        except ImportError:
            raise MissingPackageError(
                "Selective search needs the package 'selective_search_ijcv_with_python' on the Python path",
                fix="Or bring windows of your own, and call detect_windows",
            ) from None
        filenames = [os.path.abspath(f) for f in image_fnames]
        windows = selective_search.get_windows(filenames, cmd="selective_search_rcnn")
        return self.detect_windows(zip(filenames, windows))

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how much context crops have, and what lies outside the image: the mean, as an image."""
        name = self.inputs[0]
        _, channels, height, width = self.blobs[name].shape
        if context_pad and not 0 <= 2 * context_pad < min(height, width):
            raise InputError(
                f"context_pad must be from 0 and below half of the net's input of {height}×{width}; got "
                f"{context_pad}"
            )
        self.context_pad = context_pad
        self.crop_dims = np.array((height, width, channels))
        self.crop_mean = np.zeros(self.crop_dims, np.float32)
        mean = self.transformer.mean.get(name)
        if context_pad and mean is not None:
            # As an image, so that preprocessing makes zeros of it
            image = np.broadcast_to(mean, (channels, height, width)).astype(np.float32)
            swap = self.transformer.channel_swap.get(name)
            if swap is not None:
                image = image[np.argsort(swap)]
            self.crop_mean[...] = image.transpose(1, 2, 0) / self.transformer.raw_scale.get(name, 1.0)

    def crop(self, im: Array, window: Sequence[float] | Array) -> Array:
        """The part of an image (H×W×C) in a window; with ``context_pad`` in the net's size, surroundings too.

        Raises InputError where the window does not touch the image.
        """
        box = np.asarray(window, dtype=np.float64)
        if box.shape != (4,) or not (box[2] > box[0] and box[3] > box[1]):
            raise InputError(f"A window must be (ymin, xmin, ymax, xmax), min below max; got {box.tolist()}")
        if not self.context_pad:
            top, left, bottom, right = np.clip(box, 0, None).astype(int)
            crop = im[top:bottom, left:right]
            if 0 in crop.shape:
                raise _outside(box, im)
            return crop
        return self._crop_with_context(im, box, self.context_pad)

    def _crop_with_context(self, im: Array, box: Array, pad: int) -> Array:
        size = self.crop_dims[:2].astype(np.float64)
        half = (box[2:] - box[:2] + 1) / 2
        centre = box[:2] + half
        reach = half * size / (size - 2 * pad)  # grown, so that the window itself fills all but the padding
        low, high = np.round(centre - reach), np.round(centre + reach)
        scale = size / (high - low + 1)
        offset = np.round(np.maximum(0, -low) * scale).astype(int)
        limits = np.array(im.shape[:2])
        low, high = np.clip(low, 0, limits), np.clip(high, 0, limits)
        extent = np.minimum(np.round((high - low + 1) * scale), size - offset).astype(int)
        (top, left), (bottom, right) = low.astype(int), high.astype(int)
        part = im[top:bottom, left:right]
        if 0 in part.shape or extent.min() < 1:
            raise _outside(box, im)
        crop = self.crop_mean.copy()
        crop[offset[0] : offset[0] + extent[0], offset[1] : offset[1] + extent[1]] = resize_image(
            part, extent.tolist()
        )
        return crop


def _outside(box: Array, im: Array) -> InputError:
    return InputError(
        f"A window must lie at least in part in its image of {im.shape[0]}×{im.shape[1]} pixels; got "
        f"{box.tolist()}"
    )
