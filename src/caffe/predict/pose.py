"""People's skeletons on photos, by OpenPose's nets.

Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields" (2017): parts are peaks of heat
maps; two parts belong to one person where the field between them points from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from caffe.errors import InputError
from caffe.net.net import Net
from caffe.predict.kinds import Kind, answer_of
from caffe.predict.preparation import Array, Photo, Preparation
from caffe.predict.skeletons import OF_MANY, OF_ONE, Limb

PREPARATION = Preparation((128.0,), 1 / 256)
SIDE = 368
"""Height of photos where the prototxt leaves the input's open."""
_STRIDE = 8
_SAMPLES = 10  # along a limb
_LEAST_FIELD = 0.05  # of a sample that speaks for a limb
_LEAST_SHARE = 0.8  # of such samples
_LEAST_PARTS = 4  # of a person
_LEAST_SCORE = 0.4  # of a person: the sum of its parts' and limbs' scores, a part

Point = tuple[float, float, float]
"""x and y in pixels of the photo, and the score."""


@dataclass
class Person:
    """What was found of one person: part (its number in the skeleton) → point; the score is a mean over the parts."""

    points: dict[int, Point] = field(default_factory=dict)
    score: float = 0.0


class PoseEstimator:
    """A net that finds people's parts (OpenPose's COCO, MPI and BODY_25 nets; its nets of one hand or one face).

    ``threshold`` is the least score of a part. Photos keep their sides' ratio and get the input's height, 368 where the
    prototxt leaves that open (1 or 16), or the sides of ``preparation``; with ``own_size`` they stay as they are.
    Raises InputError for nets of other kinds.
    """

    def __init__(
        self,
        net: Net,
        preparation: Preparation | None = None,
        threshold: float = 0.1,
        own_size: bool = False,
    ) -> None:
        answer = answer_of(net)
        if answer.kind is not Kind.POSE:
            raise InputError(
                f"The net finds no people's parts: it gives {answer.kind.value}",
                fix="caffe predict takes nets of every kind",
            )
        self.net = net
        self.skeleton = next(s for s in (*OF_MANY, *OF_ONE) if s.name == answer.form)
        self.preparation = preparation or PREPARATION
        self.threshold = threshold
        self.own_size = own_size
        self._outputs = answer.outputs
        self._input = next(name for name in net.inputs if len(net.blobs[name].shape) == 4)
        self._shape = net.blobs[self._input].shape

    def find(self, photo: Photo) -> list[Person]:
        """The people on a photo (height × width × 3, blue first), the surest first."""
        blob = self.net.blobs[self._input]
        values = self.preparation.apply(photo, self._wanted(photo))
        height, width = values.shape[2:]
        below, right = -height % _STRIDE, -width % _STRIDE
        values = np.pad(values, ((0, 0), (0, 0), (0, below), (0, right)))
        blob.reshape(*values.shape)
        blob.data[...] = values
        self.net.forward()
        maps = [np.array(self.net.blobs[name].data[0], np.float32) for name in self._outputs]
        large = [
            _resized(channels, values.shape[3], values.shape[2])[:, :height, :width] for channels in maps
        ]
        if len(large) == 2:
            people = self._match(large[0][:-1], large[1])
        else:
            people = self._one(large[0][:-1])
        scale = np.array([photo.shape[1] / width, photo.shape[0] / height])
        for person in people:
            for part, (x, y, score) in person.points.items():
                px, py = (np.array([x, y]) + 0.5) * scale - 0.5
                person.points[part] = (float(px), float(py), score)
        return sorted(people, key=lambda person: -person.score)

    def _wanted(self, photo: Photo) -> tuple[int, ...]:
        """The input's shape for a photo."""
        height = self._shape[2] if self._shape[2] > 2 * _STRIDE else SIDE
        if self.own_size:
            height = photo.shape[0]
        width = round(photo.shape[1] * height / photo.shape[0])
        return (1, self._shape[1], height, max(width, 1))

    def _one(self, heat: Array) -> list[Person]:
        """The best place of each part, of nets for a single hand or face."""
        person = Person()
        for part, channel in enumerate(heat):
            y, x = np.unravel_index(int(channel.argmax()), channel.shape)
            if channel[y, x] >= self.threshold:
                person.points[part] = (float(x), float(y), float(channel[y, x]))
        person.score = float(np.mean([p[2] for p in person.points.values()])) if person.points else 0.0
        return [person] if person.points else []

    def _match(self, heat: Array, fields: Array) -> list[Person]:
        peaks = [_peaks(channel, self.threshold) for channel in heat]
        people: list[_Parts] = []
        for limb in self.skeleton.limbs:
            for start, end, score in _limbs(peaks[limb.start], peaks[limb.end], fields, limb):
                _join(people, limb, start, end, score)
        for part, candidates in enumerate(peaks):
            for person in people:
                if part in person.peaks:
                    person.score += float(candidates[person.peaks[part], 2])
        return [
            Person(
                {
                    part: (float(x), float(y), float(score))
                    for part, number in sorted(person.peaks.items())
                    for x, y, score in [peaks[part][number]]
                },
                person.score / len(person.peaks),
            )
            for person in people
            if len(person.peaks) >= _LEAST_PARTS and person.score / len(person.peaks) >= _LEAST_SCORE
        ]


@dataclass
class _Parts:
    """A person in the making: part → its number among the part's peaks; the sum of scores."""

    peaks: dict[int, int]
    score: float

    def add(self, part: int, peak: int, score: float) -> None:
        """Take a part at the end of a limb of a score, if there is none of the kind yet."""
        if part not in self.peaks:
            self.peaks[part] = peak
            self.score += score


def _resized(channels: Array, width: int, height: int) -> Array:
    return np.stack(
        [cv2.resize(channel, (width, height), interpolation=cv2.INTER_CUBIC) for channel in channels]
    )


def _peaks(channel: Array, threshold: float) -> npt.NDArray[np.float64]:
    """Local maxima of a heat map, P × 3: x, y, score. A plateau is one peak."""
    smooth = cv2.GaussianBlur(channel, (0, 0), 3)
    highest = (smooth == cv2.dilate(smooth, np.ones((3, 3)))) & (channel >= threshold)
    count, _, _, centres = cv2.connectedComponentsWithStats(highest.astype(np.uint8), connectivity=8)
    points = centres[1:count]
    scores = [channel[round(y), round(x)] for x, y in points]
    return np.column_stack([points, scores]) if len(points) else np.zeros((0, 3))


def _limbs(
    starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], fields: Array, limb: Limb
) -> list[tuple[int, int, float]]:
    """Pairs of peaks that the field joins, the best first; a peak is in one pair at most."""
    if not len(starts) or not len(ends):
        return []
    steps = np.linspace(0, 1, _SAMPLES)[:, None, None, None]
    places = starts[None, :, None, :2] * (1 - steps) + ends[None, None, :, :2] * steps
    x, y = np.rint(places).astype(int).transpose(3, 0, 1, 2)
    way = ends[None, :, :2] - starts[:, None, :2]
    length = np.maximum(np.linalg.norm(way, axis=2, keepdims=True), 1e-6)
    along = np.stack([fields[limb.field][y, x], fields[limb.field + 1][y, x]], axis=3)
    values = (along * (way / length)).sum(axis=3)
    far = np.minimum(
        0.5 * fields.shape[1] / length[..., 0] - 1, 0
    )  # limbs longer than half the photo's height
    scores = values.mean(axis=0) + far
    good = ((values > _LEAST_FIELD).mean(axis=0) >= _LEAST_SHARE) & (scores > 0)
    pairs: list[tuple[int, int, float]] = []
    for flat in np.argsort(-scores, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(ends))
        if good[i, j] and all(i != a and j != b for a, b, _ in pairs):
            pairs.append((i, j, float(scores[i, j])))
    return pairs


def _join(people: list[_Parts], limb: Limb, start: int, end: int, score: float) -> None:
    """Add a limb to the person that has one of its ends; join two persons of whom each has another; or begin one."""
    of_start = next((p for p in people if p.peaks.get(limb.start) == start), None)
    of_end = next((p for p in people if p.peaks.get(limb.end) == end), None)
    if of_start is not None and of_end is not None:
        if of_start is of_end:
            of_start.score += score
        elif not of_start.peaks.keys() & of_end.peaks.keys():
            of_start.peaks.update(of_end.peaks)
            of_start.score += of_end.score + score
            people.remove(of_end)
    elif of_start is not None:
        of_start.add(limb.end, end, score)
    elif of_end is not None:
        of_end.add(limb.start, start, score)
    elif limb.drawn:
        people.append(_Parts({limb.start: start, limb.end: end}, score))
