"""Boxes that a detector finds in a photo, whichever form its outputs have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from caffe import boxes
from caffe.errors import InputError
from caffe.net.net import Net
from caffe.predict.kinds import Answer, Kind, answer_of
from caffe.predict.preparation import Photo, Preparation
from caffe.proto import caffe_pb2

Array = npt.NDArray[np.float32]

PREPARATIONS = {
    "rows": Preparation(),
    "regions": Preparation((102.9801, 115.9465, 122.7717), short_side=600, long_side=1000),
    "priors": Preparation((127.0,), 1 / 128, rgb=True),
    "maps": Preparation((0.0,), 1 / 256, rgb=True),
}
"""How the nets of each form were trained, as far as they are alike."""

_FACE_SIDES = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}  # by stride, in pixels
_FACE_VARIANCES = torch.tensor([0.1, 0.1, 0.2, 0.2])


@dataclass(frozen=True)
class Found:
    """Something found: its class's number, its score, and its box in pixels of the photo (x1, y1, x2, y2)."""

    label: int
    score: float
    box: tuple[float, float, float, float]


class PhotoDetector:
    """A net that finds things in photos.

    ``anchors`` (widths and heights in pixels) are for YOLO nets without an output layer. Raises InputError where the
    net is no detector, or anchors are missing or do not fit.
    """

    def __init__(
        self,
        net: Net,
        preparation: Preparation | None = None,
        threshold: float = 0.5,
        overlap: float = 0.3,
        anchors: Sequence[tuple[float, float]] = (),
    ) -> None:
        answer = answer_of(net)
        if answer.kind is not Kind.BOXES:
            raise InputError(
                f"The net finds no boxes: it gives {answer.kind.value}",
                fix="caffe predict takes nets of every kind",
            )
        if answer.form == "maps":
            net = with_boxes(net, answer.outputs, anchors)
            answer = Answer(Kind.BOXES, ("found",), "rows")
            preparation = preparation or PREPARATIONS["maps"]
        self.net = net
        self.form = answer.form
        self.preparation = preparation or PREPARATIONS[answer.form]
        self.threshold, self.overlap = threshold, overlap
        self._outputs = answer.outputs
        self._image = next(name for name in net.inputs if len(net.blobs[name].shape) == 4)

    def find(self, photo: Photo) -> list[Found]:
        """What is in a photo (height × width × 3, blue first), the best first."""
        values = self.preparation.apply(photo, self.net.blobs[self._image].shape)
        self.net.blobs[self._image].reshape(*values.shape)
        self.net.blobs[self._image].data[...] = values
        factors = values.shape[3] / photo.shape[1], values.shape[2] / photo.shape[0]
        if "im_info" in self.net.inputs:
            info = self.net.blobs["im_info"]
            known = [*values.shape[2:], factors[1], factors[1]]
            info.data[...] = np.asarray(known[: info.shape[-1]], np.float32)
        self.net.forward(blobs=[name for name in self._outputs if name not in self.net.outputs])
        detections = getattr(self, f"_{self.form}")(photo.shape[:2], factors)
        return sorted(detections, key=lambda one: -one.score)

    def _output(self, number: int) -> Array:
        return np.asarray(self.net.blobs[self._outputs[number]].data)

    def _rows(self, size: tuple[int, int], factors: tuple[float, float]) -> list[Found]:
        height, width = size
        detections = []
        for _, label, score, x1, y1, x2, y2 in self._output(0).reshape(-1, 7).tolist():
            if label >= 0 and score >= self.threshold:
                detections.append(
                    Found(int(label), score, (x1 * width, y1 * height, x2 * width, y2 * height))
                )
        return detections

    def _regions(self, size: tuple[int, int], factors: tuple[float, float]) -> list[Found]:
        """Corrected regions of R-CNNs: suppressed class by class; class 0 is the background."""
        regions = self._output(0)[:, 1:5] / np.asarray([*factors, *factors], np.float32)
        scores = self._output(1).reshape(len(regions), -1)
        codes = self._output(2).reshape(len(regions), -1, 4)
        low, sides = regions[:, :2], regions[:, 2:] - regions[:, :2] + 1
        detections = []
        for label in range(1, scores.shape[1]):
            code = codes[:, label if codes.shape[1] == scores.shape[1] else -1]  # R-FCN's is for all classes
            centres = low + sides / 2 + code[:, :2] * sides
            half = np.exp(code[:, 2:]) * sides / 2
            limits = np.asarray([size[1], size[0]], np.float32) - 1
            corners = np.concatenate(
                [np.clip(centres - half, 0, limits), np.clip(centres + half, 0, limits)], axis=1
            )
            detections += self._best(corners, scores[:, label], label)
        return detections

    def _priors(self, size: tuple[int, int], factors: tuple[float, float]) -> list[Found]:
        height, width = self.net.blobs[self._image].shape[2:]
        scores, codes = self._output(0)[0, :, 1], torch.from_numpy(self._output(1)[0])
        priors = _face_priors(height, width)
        if len(priors) != len(codes):
            raise InputError(
                f"The net's outputs are of {len(codes)} boxes; the known priors of its size are {len(priors)}",
                fix="Use the Python interface and the priors that the net was trained with",
            )
        at = boxes.decode(codes, priors, _FACE_VARIANCES, boxes.CENTER_SIZE).numpy()
        return self._best(at * np.asarray([size[1], size[0]] * 2, np.float32), scores, 1)

    def _best(self, corners: Array, scores: Array, label: int) -> list[Found]:
        likely = np.flatnonzero(scores >= self.threshold)
        likely = likely[boxes.by_score(scores[likely])]
        kept = likely[boxes.suppress(corners[likely], self.overlap)]
        return [
            Found(label, float(scores[i]), (float(a), float(b), float(c), float(d)))
            for i, (a, b, c, d) in zip(kept, corners[kept])
        ]


def with_boxes(net: Net, maps: Sequence[str], anchors: Sequence[tuple[float, float]]) -> Net:
    """A YOLO net that ends with its maps of predictions, with a layer behind them that makes boxes of those.

    Small ``anchors`` are for fine maps, as usual. Raises InputError where their number does not fit.
    """
    if not anchors:
        raise InputError(
            f"The net ends with YOLO's maps ({', '.join(maps)}), whose anchors are not in its prototxt",
            fix="Give them: --anchors=10,13,16,30,33,23 … (widths and heights in pixels, as in the .cfg)",
        )
    height = next(net.blobs[name].shape for name in net.inputs)[2]
    fine_first = sorted(maps, key=lambda name: -net.blobs[name].shape[2])
    each, rest = divmod(len(anchors), len(maps))
    channels = {net.blobs[name].shape[1] for name in maps}
    classes = next(iter(channels)) // each - 5 if each else 0
    if rest or len(channels) > 1 or classes < 1 or (classes + 5) * each not in channels:
        raise InputError(
            f"{len(anchors)} anchors do not fit the {len(maps)} map(s) of {sorted(channels)} channels",
            fix="Each map has (5 + classes) channels for each of its anchors",
        )
    param = caffe_pb2.NetParameter()
    param.CopyFrom(net.to_proto())
    for layer in param.layer:
        del layer.blobs[:]
    layer = param.layer.add(name="found", type="Yolov3DetectionOutput", bottom=fine_first, top=["found"])
    p = layer.yolov3_detection_output_param
    p.num_classes, p.num_box, p.mask_group_num, p.confidence_threshold = classes, each, len(maps), 0.1
    p.mask.extend(range(len(anchors)))
    p.biases.extend(side for pair in sorted(anchors, key=lambda a: a[0] * a[1]) for side in pair)
    p.anchors_scale.extend(height // net.blobs[name].shape[2] for name in fine_first)
    longer = Net(param, caffe_pb2.TEST)
    longer.share_with(net)
    return longer


def _face_priors(height: int, width: int) -> torch.Tensor:
    """UltraFace's priors (P × 4), in units of the image."""
    priors = []
    for stride, sides in _FACE_SIDES.items():
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, sides, indexing="ij")
        center = np.stack([x / columns, y / rows], -1)
        half = np.stack([side / width, side / height], -1) / 2
        priors.append(np.concatenate([center - half, center + half], -1).reshape(-1, 4))
    return torch.from_numpy(np.concatenate(priors)).float().clamp(0, 1)
