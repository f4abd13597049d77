"""Windows of images, sampled from foreground and background, as R-CNN trains on.

A window file holds for each image::

    # 0
    path/of/image.jpg
    3
    375
    500
    2
    12 0.87 10 20 200 210
    0 0.12 50 60 90 99

that is its number, file, channels, height, width, number of windows, and a line a window: class, overlap with
the object, x1 y1 x2 y2 (inclusive).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from caffe.data.image_batches import Job, Share
from caffe.data.image_files import list_lines, read_bytes
from caffe.data.prefetch import Allocate, Array, BatchSource, State
from caffe.data.transform import decode, random_words
from caffe.errors import CaffeError, DataError

Row = tuple[int, int, float, int, int, int, int]
"""Image, class, overlap, x1, y1, x2, y2."""


@dataclass(slots=True)
class Windows:
    """The windows of a file that count as one kind: image and label of each, and its box."""

    images: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.int64]


@dataclass
class WindowFile:
    """What a window file says."""

    images: list[str] = field(default_factory=list)
    channels: int = 0
    rows: list[Row] = field(default_factory=list)


def read_windows(path: str) -> WindowFile:
    """Read a window file. Raises MissingFileError, DataError naming the line."""
    windows = WindowFile()
    lines = [(n, text) for n, line in enumerate(list_lines(path), 1) if (text := line.strip())]
    place = iter(lines)
    number, text = 0, ""
    try:
        for number, text in place:
            if not text.startswith("#"):
                raise ValueError("a line '# number' must begin each image")
            number, text = next(place)
            windows.images.append(text)
            for what in ("channels", "height", "width", "windows"):
                number, text = next(place)
                value = int(text)
                if value < (0 if what == "windows" else 1):
                    raise ValueError(f"the number of {what} must be positive")
                if what == "channels":
                    windows.channels = value
            for _ in range(value):
                number, text = next(place)
                if len(text.split()) != 6:
                    raise ValueError("it must be class, overlap, x1, y1, x2, y2")
                label, overlap, *box = text.split()
                x1, y1, x2, y2 = map(int, box)
                windows.rows.append(
                    (len(windows.images) - 1, int(label), float(np.float32(overlap)), x1, y1, x2, y2)
                )
    except StopIteration:
        raise DataError(
            "The file must end after a whole image; it is cut off", file=path, line=number
        ) from None
    except ValueError as error:
        raise DataError(f"The line '{text}' is not as expected: {error}", file=path, line=number) from None
    if not windows.images:
        raise DataError("The window file is empty: it must describe at least one image", file=path)
    return windows


@dataclass(frozen=True)
class Crop:
    """How a window becomes an image: ``WindowDataParameter`` and ``TransformationParameter`` at work."""

    size: int
    context_pad: int = 0
    square: bool = False
    mirror: bool = False
    scale: float = 1.0
    mean: npt.NDArray[np.float32] | None = None
    """The mean's centre, channels × size × size or channels × 1 × 1."""


class WindowBatches(BatchSource):
    """Batches of windows: background first, then foreground, each drawn by chance."""

    def __init__(
        self,
        windows: WindowFile,
        root: str,
        batch_size: int,
        crop: Crop,
        *,
        foreground_from: float,
        background_below: float,
        foreground_part: float,
        cache: bool,
        seed: int,
        share: Share,
    ) -> None:
        self._names = [root + name for name in windows.images]
        self._channels = windows.channels
        self.batch_size = batch_size
        self._crop = crop
        self._foreground_count = int(np.float32(batch_size) * np.float32(foreground_part))
        self._foreground = _select(windows, lambda row: row[2] >= foreground_from)
        self._background = _select(windows, lambda row: row[2] < min(background_below, foreground_from))
        self._background.labels[:] = 0
        for kind, chosen, needed in (
            ("foreground", self._foreground, self._foreground_count),
            ("background", self._background, batch_size - self._foreground_count),
        ):
            if needed and not len(chosen.labels):
                raise DataError(
                    f"There must be {kind} windows for a batch; got none", fix="Look at the thresholds"
                )
        if (self._foreground.labels <= 0).any():
            raise DataError("Foreground windows must have a class above 0", fix="0 means background")
        self._seed = seed
        self._share = share
        self._index = 0
        self._cache: OrderedDict[str, bytes] | None = OrderedDict() if cache else None

    def plan(self) -> Job:
        indices = (
            self._index + self._share.rank + self._share.count * np.arange(self.batch_size, dtype=np.int64)
        )
        self._index += self._share.count * self.batch_size
        return Job(range(self.batch_size), indices)

    def load(self, job: Job, allocate: Allocate) -> list[Array]:
        crop = self._crop
        words = random_words(self._seed, job.indices, 2)
        data = allocate((self.batch_size, crop.size, crop.size, self._channels)).transpose(0, 3, 1, 2)
        labels = allocate((self.batch_size,))
        data.fill(0)
        for i in job.items:
            foreground = i >= self.batch_size - self._foreground_count
            windows = self._foreground if foreground else self._background
            chosen = int(words[i, 0] % np.uint64(len(windows.labels)))
            mirror = crop.mirror and bool(words[i, 1] >> np.uint64(63))
            name = self._names[windows.images[chosen]]
            try:
                warp(self._image(name), windows.boxes[chosen], crop, mirror, data[i])
            except CaffeError as error:
                error.message = f"Record '{name}': {error.message}"
                raise
            labels[i] = windows.labels[chosen]
        return [data, labels]

    def _image(self, name: str) -> Array:
        cache = self._cache
        if cache is None:
            return decode(read_bytes(name), True)
        if name not in cache:
            cache[name] = read_bytes(name)
        return decode(cache[name], True)

    def state(self) -> State:
        return {"index": self._index, "seed": self._seed}

    def restore(self, state: State) -> None:
        self._index, self._seed = int(state["index"]), int(state["seed"])


def _select(windows: WindowFile, wanted: Callable[[Row], bool]) -> Windows:
    rows = [row for row in windows.rows if wanted(row)]
    return Windows(
        np.array([r[0] for r in rows], np.int64),
        np.array([r[1] for r in rows], np.float32),
        np.array([r[3:] for r in rows], np.int64).reshape(-1, 4),
    )


def warp(image: Array, box: Sequence[int] | Array, crop: Crop, mirror: bool, out: Array) -> None:
    """Cut a window out, with its context, and put it into ``out`` (channels × size × size, of zeros).

    Where the context goes over the image's border, ``out`` stays zero, which is the mean. Raises DataError.
    """
    import cv2

    x1, y1, x2, y2 = (int(v) for v in box)
    rows, columns = image.shape[:2]
    size = crop.size
    height = width = size
    top = left = 0
    if crop.context_pad or crop.square:
        # the part of the image that fills size × size, such that context_pad pixels of it surround the window
        expand = size / (size - 2 * crop.context_pad)
        half_height, half_width = (y2 - y1 + 1) / 2, (x2 - x1 + 1) / 2
        centre_x, centre_y = x1 + half_width, y1 + half_height
        if crop.square:
            half_height = half_width = max(half_height, half_width)
        x1, x2 = _round(centre_x - half_width * expand), _round(centre_x + half_width * expand)
        y1, y2 = _round(centre_y - half_height * expand), _round(centre_y + half_height * expand)
        scale_x, scale_y = size / (x2 - x1 + 1), size / (y2 - y1 + 1)
        over_left, over_right = max(0, -x1), max(0, x2 - columns + 1)
        over_top, over_bottom = max(0, -y1), max(0, y2 - rows + 1)
        x1, x2, y1, y2 = x1 + over_left, x2 - over_right, y1 + over_top, y2 - over_bottom
        width, height = _round((x2 - x1 + 1) * scale_x), _round((y2 - y1 + 1) * scale_y)
        top, left = _round(over_top * scale_y), _round((over_right if mirror else over_left) * scale_x)
        width, height = min(width, size - left), min(height, size - top)
    if not (0 <= x1 <= x2 < columns and 0 <= y1 <= y2 < rows) or width <= 0 or height <= 0:
        raise DataError(f"the window {[int(v) for v in box]} must lie in the image of {columns}×{rows}")
    part = cv2.resize(image[y1 : y2 + 1, x1 : x2 + 1], (width, height), interpolation=cv2.INTER_LINEAR)
    if mirror:
        part = cv2.flip(part, 1)
    target = out[:, top : top + height, left : left + width]
    np.copyto(target, np.asarray(part).transpose(2, 0, 1))
    if crop.mean is not None:
        mean = crop.mean
        target -= mean if mean.shape[1] == 1 else mean[:, top : top + height, left : left + width]
    if crop.scale != 1:
        target *= np.float32(crop.scale)


def _round(value: float) -> int:
    """To the nearest, halves away from zero."""
    return int(np.floor(value + 0.5)) if value >= 0 else int(np.ceil(value - 0.5))
