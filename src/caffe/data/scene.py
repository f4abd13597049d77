"""Images with annotated boxes as Cascade R-CNN's window files list them, and the maps of labels made of them.

A window file holds for each image::

    # 0
    path/of/image.jpg
    3
    375
    500
    2
    12 0 0 10 20 200 210
    3 1 0 50 60 90 99
    1
    300 300 320 340

that is its number, file, channels, height, width, number of boxes, a line a box: class (above 0), whether it is
ignored, whether it is difficult, x1 y1 x2 y2; then the number of regions to ignore, and a line each: x1 y1 x2 y2.
Boxes are in pixels, both ends inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from caffe.data.image_files import list_lines
from caffe.errors import DataError

Floats = npt.NDArray[np.float32]


@dataclass
class Scene:
    """An image and what is in it: G boxes, and R regions to ignore."""

    file: str
    height: int
    width: int
    boxes: Floats
    """G × 4: x1, y1, x2, y2."""
    labels: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.bool_]
    difficult: npt.NDArray[np.bool_]
    regions: Floats
    """R × 4."""

    def moved(self, scale: tuple[float, float] = (1, 1), shift: tuple[float, float] = (0, 0)) -> Scene:
        """Boxes and regions scaled, then shifted, each by x and y."""
        by, to = np.array([*scale, *scale], np.float32), np.array([*shift, *shift], np.float32)
        return replace(self, boxes=self.boxes * by + to, regions=self.regions * by + to)

    def flipped(self, width: int) -> Scene:
        """As in a mirror image."""
        boxes, regions = (
            np.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], 1)
            for b in (self.boxes, self.regions)
        )
        return replace(self, boxes=boxes, regions=regions)

    def rows(self, image: int) -> Floats:
        """G × 8: image, box, label, ignored, difficult."""
        first = np.full(len(self.labels), image)
        rest = (self.labels, self.ignored, self.difficult)
        return np.column_stack([first, self.boxes, *rest]).astype(np.float32)


def read_scenes(path: str) -> list[Scene]:
    """Read a window file. Raises MissingFileError, DataError naming the line."""
    lines = [(n, text) for n, line in enumerate(list_lines(path), 1) if (text := line.strip())]
    place = iter(lines)
    scenes: list[Scene] = []
    number, text = 0, ""

    def count(what: str, least: int) -> int:
        nonlocal number, text
        number, text = next(place)
        value = int(text)
        if value < least:
            raise ValueError(f"{what} must be at least {least}")
        return value

    def table(rows: int, columns: str) -> Floats:
        nonlocal number, text
        width = len(columns.split())
        rows_of_values = np.zeros((rows, width), np.float32)
        for i in range(rows):
            number, text = next(place)
            if len(text.split()) != width:
                raise ValueError(f"it must be {columns}")
            rows_of_values[i] = [float(word) for word in text.split()]
            if rows_of_values[i, -2] < rows_of_values[i, -4] or rows_of_values[i, -1] < rows_of_values[i, -3]:
                raise ValueError("a box must not end before it starts")
            if width == 7 and rows_of_values[i, 0] < 1:
                raise ValueError("the class must be above 0, which is the background")
        return rows_of_values

    try:
        for number, text in place:
            if not text.startswith("#"):
                raise ValueError("a line '# number' must begin each image")
            number, file = text_of = next(place)
            text = text_of[1]
            _, height, width = (count(f"the number of {w}", 1) for w in ("channels", "rows", "columns"))
            boxes = table(count("the number of boxes", 0), "class, ignored, difficult, x1, y1, x2, y2")
            regions = table(count("the number of regions", 0), "x1, y1, x2, y2")
            labels, ignored, difficult = (boxes[:, i] for i in range(3))
            scenes.append(
                Scene(
                    file,
                    height,
                    width,
                    boxes[:, 3:],
                    labels.astype(np.int64),
                    ignored != 0,
                    difficult != 0,
                    regions,
                )
            )
    except StopIteration:
        raise DataError(
            "The file must end after a whole image; it is cut off", file=path, line=number
        ) from None
    except ValueError as error:
        raise DataError(f"The line '{text}' is not as expected: {error}", file=path, line=number) from None
    if not scenes:
        raise DataError("The window file is empty: it must describe at least one image", file=path)
    return scenes


def overlaps(a: Floats, b: Floats, of_first: bool = False) -> Floats:
    """A × B: the intersection of boxes over their union, or over the first one's area; 0 for boxes without area."""
    size_a, size_b = (
        np.where((x[:, 2:] < x[:, :2]).any(1), 0, np.prod(x[:, 2:] - x[:, :2] + 1, 1)) for x in (a, b)
    )
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    # a touch in one row is no intersection, one in a column is: as in the original
    meet = (low[..., 0] <= high[..., 0]) & (low[..., 1] < high[..., 1])
    both = np.where(meet, np.prod(high - low + 1, -1), 0)
    whole = np.broadcast_to(size_a[:, None], both.shape) if of_first else size_a[:, None] + size_b - both
    valid = (size_a[:, None] > 0) & (size_b > 0) & (whole > 0)
    return np.where(valid, both / np.where(whole > 0, whole, 1), 0).astype(np.float32)


@dataclass(frozen=True)
class Field:
    """A map's pixels: their distance, and the size of the box that each stands for."""

    stride: float
    width: int
    height: int


@dataclass(frozen=True)
class Rules:
    """When a pixel of a map takes a box, and when it counts for nothing."""

    foreground: float = 0.5
    ignored: float = 0.4
    pick_up: float = 0.2
    margin: float | None = None
    least_inside: float | None = None


@dataclass(frozen=True)
class Area:
    """The part of a template (rows × columns) that shows the image, from ``left``, ``top``."""

    rows: int
    columns: int
    left: int
    top: int
    width: int
    height: int


def rounded(value: float) -> int:
    """To the nearest, halves away from zero."""
    return int(np.floor(value + 0.5)) if value >= 0 else int(np.ceil(value - 0.5))


def map_size(area: Area, field: Field) -> tuple[int, int]:
    """Rows and columns of a field's map."""
    return rounded(area.rows / field.stride), rounded(area.columns / field.stride)


def label_maps(scene: Scene, area: Area, fields: Sequence[Field], rules: Rules) -> list[Floats]:
    """Of each field a map (6 × H × W): label, centre x and y, width, height, overlap.

    A pixel whose box overlaps an annotated one by more than ``foreground`` has that one's label, place and size; all
    others the label 0 and their largest overlap, which is 1 where they count for nothing: outside of the image, or in
    regions to ignore. A box that no pixel took goes to the pixel of its centre in the map where it fits best.
    """
    maps = [np.zeros((6, *map_size(area, field)), np.float32) for field in fields]
    best = np.zeros(len(scene.boxes), np.float32)
    where = np.zeros(len(scene.boxes), np.int64)
    taken = np.zeros(len(scene.boxes), bool)
    low, high = scene.boxes[:, :2], scene.boxes[:, 2:]
    shape = np.concatenate([(low + high) / 2, high - low + 1], 1)
    for k, (made, field) in enumerate(zip(maps, fields)):
        made[5] = 1
        flat = made.reshape(6, -1)
        at, boxes = _pixels(area, field, made.shape[1:], rules)
        overlap = overlaps(scene.boxes, boxes)
        flat[5, at] = 0
        if len(scene.regions):
            flat[5, at] = overlaps(boxes, scene.regions, of_first=True).sum(1) >= rules.ignored
        if not len(scene.boxes) or not len(at):
            continue
        owner, largest = overlap.argmax(0), overlap.max(0)
        flat[5, at] = np.where(flat[5, at] == 1, 1, largest)
        takes = largest > rules.foreground
        pixels, owners = at[takes], owner[takes]
        flat[0, pixels] = np.where(scene.ignored[owners], 0, scene.labels[owners])
        flat[1:5, pixels] = shape[owners].T
        flat[5, pixels] = largest[takes]
        taken[owners] = True
        better = overlap.max(1) > best
        where[better], best[better] = k, overlap.max(1)[better]
    for g in np.flatnonzero(~taken & ~scene.ignored & (best >= rules.pick_up)) if fields else ():
        made, stride = maps[where[g]], fields[where[g]].stride
        column, row = (int(np.floor(c / stride)) for c in shape[g, :2])
        row, column = min(max(row, 0), made.shape[1] - 1), min(max(column, 0), made.shape[2] - 1)
        if made[0, row, column] <= 0:
            made[:, row, column] = [scene.labels[g], *shape[g], best[g]]
    return maps


def _pixels(
    area: Area, field: Field, size: tuple[int, ...], rules: Rules
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Which pixels of a map count, and their boxes."""
    rows, columns = np.divmod(np.arange(size[0] * size[1]), size[1] or 1)
    middle = (np.stack([columns, rows], 1) + 0.5) * field.stride
    radius = np.array([field.width, field.height]) / 2
    boxes = np.concatenate([middle - radius, middle + radius], 1).astype(np.float32)
    counts = np.ones(len(boxes), bool)
    for values, first, extent in ((columns, area.left, area.width), (rows, area.top, area.height)):
        start = rounded(first / field.stride)
        counts &= (values >= start) & (values < start + rounded(extent / field.stride))
    corner = np.array([area.left, area.top])
    end = corner + [area.width, area.height]
    if rules.margin is not None:
        beyond = rules.margin * radius
        counts &= (boxes[:, :2] >= corner - beyond).all(1) & (boxes[:, 2:] < end + beyond).all(1)
    elif rules.least_inside is not None:
        image = np.concatenate([corner, end])[None].astype(np.float32)
        counts &= overlaps(boxes, image, of_first=True)[:, 0] >= rules.least_inside
    at = np.flatnonzero(counts)
    return at, boxes[at]


def orders(scenes: Sequence[Scene], shuffle: str, group: int, rng: np.random.Generator) -> Iterator[int]:
    """The scenes' numbers for one pass: in order, or "random", or by aspect.

    "random_aspect" has all tall ones and all wide ones one after the other, "random_mix_aspect" takes turns, ``group``
    of each at a time.
    """
    if shuffle in ("", "random"):
        yield from rng.permutation(len(scenes)).tolist() if shuffle else range(len(scenes))
        return
    tall = [i for i, s in enumerate(scenes) if s.height >= s.width]
    wide = [i for i, s in enumerate(scenes) if s.height < s.width]
    kinds = [rng.permutation(np.array(kind, np.int64)).tolist() for kind in (tall, wide)]
    if rng.random() < 0.5:
        kinds.reverse()
    if shuffle == "random_mix_aspect":
        turn = 0
        while all(kinds):
            yield kinds[turn // group % 2].pop(0)
            turn += 1
    yield from [*kinds[0], *kinds[1]]
