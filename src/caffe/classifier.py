"""Classifier: a net that takes images as they are loaded, and gives a row of scores for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import io
from caffe.errors import InputError, NetError
from caffe.net.net import Net
from caffe.proto import caffe_pb2
from caffe.resize import resize_image

Array = npt.NDArray[Any]


class ImageNet(Net):
    """A net whose first input is a batch of images, with the Transformer that makes them of H×W×C arrays.

    ``mean`` (a value a channel, or C×H×W), ``input_scale``, ``raw_scale`` and ``channel_swap`` are set on the
    ``transformer``. Blobs in the middle are freed as the net runs, and computed again when they are read
    (``set_inference(False)`` keeps them). Raises NetError where the net has no input of four axes, InputError
    where a step cannot be.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, caffe_pb2.TEST, weights=pretrained_file)
        if not self.inputs or len(self.blobs[self.inputs[0]].shape) != 4:
            shapes = {name: list(self.blobs[name].shape) for name in self.inputs}
            raise NetError(
                f"The net must have an input of shape N×C×H×W; its inputs are {shapes or 'none'}",
                file=self.file,
                fix="Use the deploy prototxt, which has an Input layer in place of the data layers",
            )
        name = self.inputs[0]
        self.transformer = io.Transformer({name: self.blobs[name].shape})
        self.transformer.set_transpose(name, (2, 0, 1))
        if mean is not None:
            self.transformer.set_mean(name, mean)
        if input_scale is not None:
            self.transformer.set_input_scale(name, input_scale)
        if raw_scale is not None:
            self.transformer.set_raw_scale(name, raw_scale)
        if channel_swap is not None:
            self.transformer.set_channel_swap(name, channel_swap)
        self.set_inference(recompute=True)

    def scores(self, images: Iterable[Array]) -> Array:
        """The first output for images of any number, each preprocessed."""
        name = self.inputs[0]
        batch = np.array([self.transformer.preprocess(name, image) for image in images])
        return np.asarray(self.forward_all(**{name: batch})[self.outputs[0]])


class Classifier(ImageNet):
    """A net for images: ``Classifier(model, weights, image_dims=(256, 256), mean=…, raw_scale=255, …)``.

    Images are resized to ``image_dims`` (the input's own height and width unless given), of which the input's
    size is cropped.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None = None,
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = (
            self.crop_dims if image_dims is None or not len(image_dims) else np.array(image_dims)
        )
        if self.image_dims.shape != (2,) or (self.image_dims < self.crop_dims).any():
            raise InputError(
                f"image_dims must be (height, width), at least the net's {self.crop_dims.tolist()}; got "
                f"{self.image_dims.tolist()}"
            )

    def predict(self, inputs: Iterable[Array], oversample: bool = True) -> Array:
        """The scores (N×K) of N images, H×W×C each, as ``caffe.io.load_image`` gives them.

        ``oversample`` averages over the four corners and the centre and their mirror images; without it the
        centre counts alone. Raises InputError where there is no image, or one is no H×W×C array.
        """
        images = list(inputs)
        if not images:
            raise InputError("predict must be given a list of at least one image; got none")
        images = [resize_image(image, self.image_dims.tolist()) for image in images]
        if oversample:
            crops = io.oversample(images, self.crop_dims.tolist())
            scores = self.scores(crops)
            return np.asarray(scores.reshape(len(images), 10, -1).mean(axis=1))
        top, left = ((self.image_dims - self.crop_dims) // 2).tolist()
        height, width = self.crop_dims.tolist()
        return self.scores(image[top : top + height, left : left + width] for image in images)
