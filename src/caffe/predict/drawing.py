"""Pictures of predictions: boxes with labels, pixels in their classes' colours with a legend, skeletons."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from caffe.predict.detection import Found
from caffe.predict.pose import Person, Point
from caffe.predict.preparation import Photo
from caffe.predict.segmentation import Classes
from caffe.predict.skeletons import Skeleton

Name = Callable[[int], str]
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LEAST_SHARE = 0.001  # of a picture's pixels, for a class to be in the legend


def colour(label: int) -> tuple[int, int, int]:
    """A class's colour, blue first: PASCAL VOC's, in which neighbouring numbers differ much; 0 is black."""
    parts = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            parts[channel] |= (label >> (3 * place + channel) & 1) << (7 - place)
    red, green, blue = parts
    return blue, green, red


def bright(label: int) -> tuple[int, int, int]:
    """A colour for lines and plates, blue first: full, and far from its neighbours' (by the golden angle)."""
    hue = np.array([[[round(label * 137.5 / 2 + 60) % 180, 220, 235]]], np.uint8)
    blue, green, red = cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return blue, green, red


def with_boxes(photo: Photo, found: Sequence[Found], name: Name) -> Photo:
    """The photo with a box around everything found, its class and its score (on small boxes the score alone)."""
    picture = photo.copy()
    unit = max(min(photo.shape[:2]) / 500, 0.6)
    thick = max(round(2 * unit), 1)
    for one in reversed(found):  # the best on top
        shade = bright(one.label)
        x1, y1, x2, y2 = (round(v) for v in one.box)
        cv2.rectangle(picture, (x1, y1), (x2, y2), shade, thick)
        small = x2 - x1 < 60 * unit
        text = f"{one.score:.2f}" if small else f"{name(one.label)} {one.score:.2f}"
        _plate(picture, text, (x1, y1), shade, unit * 0.8 if small else unit)
    return picture


def _plate(
    picture: Photo, text: str, corner: tuple[int, int], shade: tuple[int, int, int], unit: float
) -> None:
    """Words on a plate of a colour, above a corner, or below it at the picture's upper edge."""
    size = 0.5 * unit
    (width, height), below = cv2.getTextSize(text, _FONT, size, 1)
    left = min(max(corner[0], 0), max(picture.shape[1] - width - 6, 0))
    top = corner[1] - height - below - 4
    top = top if top >= 0 else max(corner[1], 0)
    cv2.rectangle(picture, (left, top), (left + width + 6, top + height + below + 4), shade, -1)
    ink = (0, 0, 0) if np.dot(shade, (0.114, 0.587, 0.299)) > 110 else (255, 255, 255)
    cv2.putText(picture, text, (left + 3, top + height + 2), _FONT, size, ink, 1, cv2.LINE_AA)


def with_people(photo: Photo, people: Sequence[Person], skeleton: Skeleton) -> Photo:
    """The photo with everybody's limbs, a colour each, and dots where parts were found."""
    picture = photo.copy()
    unit = max(min(photo.shape[:2]) / 500, 0.6)
    thick, dot = max(round(4 * unit), 1), max(round(4 * unit), 2)
    if skeleton.channels[0] > 60:  # a face's points are close together
        thick, dot = max(thick // 4, 1), max(dot // 2, 1)

    def at(point: Point) -> tuple[int, int]:
        return round(point[0]), round(point[1])

    for person in people:
        for number, limb in enumerate(skeleton.limbs):
            if limb.drawn and limb.start in person.points and limb.end in person.points:
                ends = at(person.points[limb.start]), at(person.points[limb.end])
                cv2.line(picture, *ends, bright(number), thick, cv2.LINE_AA)
        for point in person.points.values():
            cv2.circle(picture, at(point), dot, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(picture, at(point), dot, (40, 40, 40), 1, cv2.LINE_AA)
    return picture


def with_classes(photo: Photo, classes: Classes, name: Name, opacity: float = 0.6) -> Photo:
    """The photo under its pixels' classes' colours, and a legend of those that are there beside it."""
    labels, counts = np.unique(classes, return_counts=True)
    shades = np.asarray([colour(int(label)) for label in labels], np.uint8)
    mask = shades[np.searchsorted(labels, classes)]
    seen = np.where((classes > 0)[..., None], cv2.addWeighted(mask, opacity, photo, 1 - opacity, 0), photo)
    rows = [
        (int(label), count / classes.size)
        for label, count in sorted(zip(labels, counts), key=lambda pair: -pair[1])
        if count / classes.size >= _LEAST_SHARE
    ]
    return np.hstack([seen.astype(np.uint8), _legend(rows, photo.shape[0], name)])


def _legend(rows: Sequence[tuple[int, float]], height: int, name: Name) -> Photo:
    unit = max(height / 500, 0.7)
    line = round(24 * unit)
    texts = [f"{name(label)}  {share:.1%}" for label, share in rows[: max(height // line - 1, 1)]]
    widths = [cv2.getTextSize(text, _FONT, 0.5 * unit, 1)[0][0] for text in texts]
    panel = np.full((height, max(widths, default=0) + round(44 * unit), 3), 255, np.uint8)
    for i, ((label, _), text) in enumerate(zip(rows, texts)):
        top = line // 2 + i * line
        side = round(14 * unit)
        left = round(10 * unit)
        cv2.rectangle(panel, (left, top), (left + side, top + side), colour(label), -1)
        cv2.rectangle(panel, (left, top), (left + side, top + side), (90, 90, 90), 1)
        place = (left + side + round(8 * unit), top + side - 2)
        cv2.putText(panel, text, place, _FONT, 0.5 * unit, (20, 20, 20), 1, cv2.LINE_AA)
    return panel
