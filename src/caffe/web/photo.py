"""A net's view of a photo: its most likely classes, every blob's activations, and which pixels speak for a class."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import io
from caffe.classifier import ImageNet
from caffe.errors import InputError
from caffe.net import build
from caffe.predict import kinds
from caffe.resize import resize_image
from caffe.web import values

Array = npt.NDArray[Any]
Json = dict[str, Any]
PATCHES = 10
"""An occlusion map has this many squares to a side."""


class Photo:
    """A net that has seen one photo. Raises what building the net and loading the image raise."""

    def __init__(self, net: ImageNet, image: Array, labels: Sequence[str] = ()) -> None:
        self.net = net
        self.name = net.inputs[0]
        self.image = image  # H×W×C, RGB, 0 … 1
        self.labels = labels
        net.set_inference(False)
        net.blobs[self.name].reshape(1, *net.blobs[self.name].shape[1:])
        net.reshape()
        self.input = net.transformer.preprocess(self.name, image)
        self.run(self.input)
        answer = kinds.answer_of(net)
        self.probabilities = answer.probabilities
        self.output = answer.outputs[0] if answer.kind is kinds.Kind.CLASSES else None
        self.scores = self._scores()

    @staticmethod
    def load(model: Any, weights: str) -> ImageNet:
        """A net whose gradient reaches the image."""
        definition = build.read(model)
        if any(layer.type == "Python" for layer in definition.param.layer):
            raise InputError(
                "The net has Python layers, which are not run for a page", fix="Give --python to allow them"
            )
        definition.param.force_backward = True
        return ImageNet(definition, weights)  # type: ignore[arg-type]

    def run(self, batch: Array) -> None:
        """Run the net on one preprocessed image."""
        values: dict[str, Any] = {self.name: batch.reshape(1, *self.input.shape)}
        self.net.forward(**values)

    def _scores(self) -> Array:
        """Of the classes; none where the net gives boxes, pixels or a pose."""
        if self.output is None:
            return np.zeros(0)
        scores: Array = self.net.blobs[self.output].data[0].astype(np.float64).ravel()
        return scores

    def label(self, index: int) -> str:
        return self.labels[index] if len(self.labels) == self.scores.size else f"class {index}"

    def summary(self, top: int = 5) -> Json:
        """The photo and its most likely classes, if it has any."""
        best = np.argsort(-self.scores, kind="stable")[:top]
        return {
            "picture": jpeg(self.image),
            "output": self.output,
            "classes": int(self.scores.size),
            "probabilities": self.probabilities,
            "top": [
                {"index": int(i), "label": self.label(i), "score": float(f"{self.scores[i]:.6g}")}
                for i in best
            ],
        }

    def blobs(self) -> dict[str, list[int]]:
        """The blobs that hold values, with their shapes."""
        return {name: list(blob.shape) for name, blob in self.net.blobs.items()}

    def activations(self, name: str) -> Json:
        """A blob's values for the photo. Raises UnknownNameError."""
        if name not in self.net.blobs:
            raise InputError(f"There is no blob '{name}'")
        data = self.net.blobs[name].data
        return values.maps(np.array(data[0] if data.ndim > 1 else data))

    def gradient(self, index: int) -> Array:
        """How much each pixel changes a class's score before the softmax: H×W, the largest of the channels."""
        self._check(index)
        self.run(self.input)
        blob, first = self._before_softmax()
        for step in self.net.steps:
            for top in step.top:
                top.diff[...] = 0
        blob.diff[...] = 0
        blob.diff.reshape(1, -1)[0, index] = 1
        self.net.backward_steps(first, 0)
        found: Array = np.abs(self.net.blobs[self.name].diff[0]).max(axis=0)
        return found

    def _before_softmax(self) -> tuple[Any, int]:
        """The scores' blob, without a softmax at the end, and the layer that made it."""
        steps = self.net.steps
        last = len(steps) - 1
        while last > 0 and steps[last].layer.type in ("Softmax", "Accuracy", "Silence"):
            last -= 1
        return steps[last].top[0], last

    def occlusion(self, index: int) -> Array:
        """How much a class's score falls where a grey square covers the photo: PATCHES × PATCHES."""
        self._check(index)
        _, height, width = self.input.shape
        fall = np.zeros((PATCHES, PATCHES))
        side_y, side_x = -(-height // PATCHES) * 2, -(-width // PATCHES) * 2
        for row in range(PATCHES):
            for column in range(PATCHES):
                y = max(0, round((row + 0.5) * height / PATCHES - side_y / 2))
                x = max(0, round((column + 0.5) * width / PATCHES - side_x / 2))
                covered = self.input.copy()
                covered[:, y : y + side_y, x : x + side_x] = covered.mean(axis=(1, 2), keepdims=True)
                self.run(covered)
                fall[row, column] = self.scores[index] - self._scores()[index]
        self.run(self.input)
        return fall

    def map(self, kind: str, index: int) -> Json:
        """A gradient or occlusion map laid over the photo. Raises InputError for another kind."""
        if kind not in ("gradient", "occlusion"):
            raise InputError(f"The map must be gradient or occlusion; got '{kind}'")
        heat = self.gradient(index) if kind == "gradient" else self.occlusion(index)
        return {
            "kind": kind,
            "label": self.label(index),
            "range": [float(heat.min()), float(heat.max())],
            "picture": jpeg(self._overlaid(heat, smooth=kind == "gradient")),
        }

    def _overlaid(self, found: Array, smooth: bool) -> Array:
        import cv2

        height, width = self.image.shape[:2]
        heat: Array = np.clip(found, 0, None).astype(np.float32)
        if smooth:
            heat = cv2.GaussianBlur(heat, (0, 0), max(1.0, heat.shape[0] / 64))
        top = float(np.quantile(heat, 0.99)) or float(heat.max()) or 1.0
        heat = cv2.resize(np.clip(heat / top, 0, 1), (width, height), interpolation=cv2.INTER_CUBIC)
        heat = np.clip(heat, 0, 1)[..., None]
        grey = self.image.mean(axis=2, keepdims=True) * 0.6 + 0.2
        colour = np.concatenate([np.ones_like(heat), 0.75 - 0.6 * heat, 0.1 * (1 - heat)], axis=2)
        return np.asarray(grey * (1 - heat) + colour * heat)

    def _check(self, index: int) -> None:
        if not 0 <= index < self.scores.size:
            raise InputError(f"The class must be 0 … {self.scores.size - 1}; got {index}")


def jpeg(image: Array, side: int = 320) -> str:
    """An RGB image (0 … 1) as a data URI, at most ``side`` pixels."""
    import cv2

    scale = min(1.0, side / max(image.shape[:2]))
    if scale < 1:
        image = resize_image(image, [max(1, round(n * scale)) for n in image.shape[:2]])
    pixels = np.clip(255 * image, 0, 255).astype(np.uint8)[..., ::-1]
    _, content = cv2.imencode(".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()


def load_image(path: str, net: ImageNet) -> Array:
    """An image file as the net takes it, H×W×C."""
    return io.load_image(path, net.blobs[net.inputs[0]].shape[1] != 1)
