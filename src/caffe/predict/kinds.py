"""What kind of answer a net gives, told from its outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from caffe.errors import InputError
from caffe.net.net import Net
from caffe.predict.skeletons import OF_MANY, OF_ONE

PROBABILITIES = ("Softmax", "Sigmoid")
_LAST_STAGE = re.compile(r"Mconv\d_stage\d")  # what OpenPose's nets of hands and faces end with
_MOST_ROWS = 7  # values of a row of DetectionOutput: image, label, score, four corners


class Kind(Enum):
    """What a net says of an image."""

    CLASSES = "classes"
    BOXES = "boxes"
    PIXELS = "pixels"
    POSE = "pose"


@dataclass(frozen=True)
class Answer:
    """The kind of a net's answer, the form that boxes have, and the output blobs that hold it."""

    kind: Kind
    outputs: tuple[str, ...]
    form: str = ""
    """Of boxes: ``rows`` (SSD, YOLO), ``regions`` (R-CNN), ``priors`` (UltraFace), ``maps`` (YOLO's, not decoded).
    Of a pose: the skeleton's name."""
    probabilities: bool = False
    """Whether classes' scores are probabilities."""


def answer_of(net: Net) -> Answer:
    """What the net's outputs are. Raises InputError where no image goes in, or the outputs are of no known form."""
    if not any(len(net.blobs[name].shape) == 4 for name in net.inputs):
        inputs = {name: list(net.blobs[name].shape) for name in net.inputs}
        raise InputError(
            f"The net takes no images: its inputs are {inputs or 'none'}",
            fix="Give the deploy prototxt, which has an Input layer in place of the data layers",
        )
    producer = {top: step.layer.type for step in net.steps for top in step.top_names}
    shapes = {name: net.blobs[name].shape for name in net.outputs}
    rows = [name for name, shape in shapes.items() if len(shape) == 4 and _are_rows(shape, producer[name])]
    if rows:
        return Answer(Kind.BOXES, tuple(rows[:1]), "rows")
    regions = _regions(net)
    if regions is not None:
        return Answer(Kind.BOXES, regions, "regions")
    priors = _priors(net)
    if priors is not None:
        return Answer(Kind.BOXES, priors, "priors")
    pose = _pose(net)
    if pose is not None:
        return pose
    maps = [name for name, shape in shapes.items() if len(shape) == 4 and shape[2] * shape[3] > 1]
    if maps:
        yolo = len(maps) == len(shapes) and all(
            producer[name] == "Convolution" and shapes[name][1] % 3 == 0 and shapes[name][1] > 15
            for name in maps
        )
        strided = all(shapes[name][2] * 8 <= _image(net)[2] for name in maps)
        if yolo and strided:
            return Answer(Kind.BOXES, tuple(maps), "maps")
        return Answer(Kind.PIXELS, tuple(maps[-1:]))
    scores = [name for name, shape in shapes.items() if len(shape) >= 2]
    if not scores:
        raise InputError(
            f"The net's outputs are of no form that is known here: {shapes or 'none'}",
            fix="Use the Python interface: net.forward() gives them as arrays",
        )
    best = next((name for name in scores if producer[name] in PROBABILITIES), scores[0])
    return Answer(Kind.CLASSES, (best,), probabilities=producer[best] in PROBABILITIES)


def _image(net: Net) -> tuple[int, ...]:
    return next(shape for shape in (net.blobs[name].shape for name in net.inputs) if len(shape) == 4)


def _are_rows(shape: tuple[int, ...], type_: str) -> bool:
    return shape[:2] == (1, 1) and shape[3] == _MOST_ROWS and type_.endswith("DetectionOutput")


def _regions(net: Net) -> tuple[str, str, str] | None:
    """The blobs of regions (R × 5), of their classes' scores and of their corrections."""
    if "rois" not in net.blobs or "bbox_pred" not in net.outputs:
        return None
    scores = next((name for name in net.outputs if "prob" in name), None)
    return ("rois", scores, "bbox_pred") if scores else None


def _priors(net: Net) -> tuple[str, str] | None:
    """Scores (N × P × 2) and codes (N × P × 4) of UltraFace, whose priors are in no layer."""
    shapes = {name: net.blobs[name].shape for name in net.outputs}
    two = [name for name, shape in shapes.items() if len(shape) == 3 and shape[2] == 2]
    four = [name for name, shape in shapes.items() if len(shape) == 3 and shape[2] == 4]
    if len(two) == len(four) == 1 and shapes[two[0]][1] == shapes[four[0]][1]:
        return two[0], four[0]
    return None


def _pose(net: Net) -> Answer | None:
    """OpenPose's heat maps and fields, as outputs or concatenated; of a hand or face the maps of the last stage."""
    names = list(net.outputs)
    last = next((step for step in net.steps if list(step.top_names) == names), None)
    if last is not None and last.layer.type == "Concat":
        names = list(last.bottom_names)
    by_channels = {net.blobs[name].shape[1]: name for name in names if len(net.blobs[name].shape) == 4}
    for skeleton in OF_MANY:
        heat, fields = (by_channels.get(channels) for channels in skeleton.channels)
        if heat and fields and len(names) == 2:
            return Answer(Kind.POSE, (heat, fields), skeleton.name)
    for skeleton in OF_ONE:
        heat = by_channels.get(skeleton.channels[0])
        if heat and last is not None and _LAST_STAGE.fullmatch(last.layer.name):
            return Answer(Kind.POSE, (heat,), skeleton.name)
    return None
