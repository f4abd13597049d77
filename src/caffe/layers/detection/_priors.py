"""The boxes of one cell of a PriorBox layer, around the cell's centre."""

from __future__ import annotations

import math
from collections.abc import Iterator

from caffe.proto import caffe_pb2

Param = caffe_pb2.PriorBoxParameter
SHIFTED = {32: (4, 8), 64: (2, 16)}
"""FaceBoxes: of squares of this size there are n × n in a cell, so many pixels apart."""


def aspect_ratios(p: Param) -> list[float]:
    """The ratios, beginning with 1; those listed twice once, each followed by its inverse with ``flip``."""
    ratios = [1.0]
    for ratio in p.aspect_ratio:
        if all(abs(ratio - f) >= 1e-6 for f in ratios):
            ratios.append(ratio)
            if p.flip:
                ratios.append(1 / ratio)
    if p.keras and p.flip:
        # the squares first, then the ratios as listed, then their inverses
        ratios = [1.0, *ratios[1::2], *ratios[2::2]]
    return ratios


def boxes_of_cell(p: Param) -> list[tuple[float, ...]]:
    """xmin, ymin, xmax, ymax in pixels around the centre, then what is added in units of the image."""
    return list(_boxes(p))


def _boxes(p: Param) -> Iterator[tuple[float, ...]]:
    if p.box_width:
        for width, height in zip(p.box_width, p.box_height):
            yield _box(width, height)
        return
    for i, min_size in enumerate(p.min_size):
        side = int(min_size)
        if p.faceboxes:
            first = list(_squares(side))
        else:
            first = [_box(side, side, 0.05 if p.tf and side == 60 and not p.keras else 0.0)]
        if p.max_size:
            middle = math.sqrt(side * int(p.max_size[i]))
            second = [_box(middle, middle)]
        else:
            second = []
        rest = [
            _box(side * math.sqrt(r), side / math.sqrt(r)) for r in aspect_ratios(p) if abs(r - 1) >= 1e-6
        ]
        if p.keras:
            yield from [*second, *first, *rest]
        elif p.tf:
            yield from [*first, *rest, *second]
        else:
            yield from [*first, *second, *rest]


def _box(width: float, height: float, less: float = 0.0) -> tuple[float, ...]:
    return (-width / 2, -height / 2, width / 2, height / 2, less, less, -less, -less)


def _squares(side: int) -> Iterator[tuple[float, ...]]:
    half = (side - 1) / 2
    count, apart = SHIFTED.get(side, (1, 0))
    shifts = [(k - count // 2) * apart for k in range(count)]
    for y in shifts:
        for x in shifts:
            yield (x - half, y - half, x + half, y + half, 0, 0, 0, 0)
