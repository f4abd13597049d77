"""Batches of images with annotated boxes from Cascade R-CNN's window files, for training and for testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from caffe.data.image_batches import Job, Share
from caffe.data.image_files import read_bytes
from caffe.data.picture import distort
from caffe.data.prefetch import Allocate, Array, BatchSource, State
from caffe.data.scene import Area, Field, Rules, Scene, label_maps, map_size, orders, rounded
from caffe.data.transform import decode, random_words
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

Size = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True)
class Pixels:
    """How pixels become values: (pixel - mean) · scale."""

    mean: npt.NDArray[np.float32] | None
    """One value, or three."""
    scale: float

    def write(self, image: Array, out: Array) -> None:
        """An image (H × W × 3) into ``out`` (3 × H × W)."""
        values = image.astype(np.float32)
        if self.mean is not None:
            values -= self.mean
        out[...] = (values * np.float32(self.scale)).transpose(2, 0, 1)


class SceneBatches(BatchSource):
    """Batches of scenes in the order of the list, again and again."""

    def __init__(
        self, scenes: Sequence[Scene], root: str, batch_size: int, pixels: Pixels, seed: int, share: Share
    ):
        self.scenes = scenes
        self.batch_size = batch_size
        self.pixels = pixels
        self._root = root
        self._seed = seed
        self._share = share
        self._index = 0

    def order(self, turn: int) -> Sequence[int]:
        """The scenes' numbers in the ``turn``-th pass."""
        return range(len(self.scenes))

    def plan(self) -> Job:
        indices = (
            self._index + self._share.rank + self._share.count * np.arange(self.batch_size, dtype=np.int64)
        )
        self._index += self._share.count * self.batch_size
        return Job(
            [self.order(int(i) // len(self.scenes))[int(i) % len(self.scenes)] for i in indices], indices
        )

    def image(self, scene: Scene) -> Array:
        """The scene's picture (H × W × 3). Raises CaffeError naming it."""
        name = self._root + scene.file
        try:
            return decode(read_bytes(name), True)
        except CaffeError as error:
            error.message = f"Record '{name}': {error.message}"
            raise

    def rng(self, index: int) -> np.random.Generator:
        """Chance for one place of the stream."""
        return np.random.default_rng(random_words(self._seed, [index], 2)[0])

    def state(self) -> State:
        return {"index": self._index, "seed": self._seed}

    def restore(self, state: State) -> None:
        self._index, self._seed = int(state["index"]), int(state["seed"])


def blob_of(rows: Sequence[Array], allocate: Allocate) -> Array:
    """All rows (… × 8) as a blob (G × 8 × 1 × 1); one of -1 where there are none."""
    all_rows = np.concatenate(rows) if rows else np.zeros((0, 8), np.float32)
    if not len(all_rows):
        all_rows = np.full((1, 8), -1, np.float32)
    out = allocate((len(all_rows), 8, 1, 1))
    out[..., 0, 0] = all_rows
    return out


def shrunk(image: Array, scene: Scene, size: Size) -> tuple[Array, Scene]:
    """An image and its boxes resized to rows × columns."""
    import cv2

    rows, columns = image.shape[:2]
    if (rows, columns) == size:
        return image, scene
    resized = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return resized, scene.moved((size[1] / columns, size[0] / rows))


class EvalBatches(SceneBatches):
    """Images as they are tested: resized to multiples of 32."""

    def __init__(
        self, param: caffe_pb2.EvalDataParameter, scenes: Sequence[Scene], pixels: Pixels, share: Share
    ):
        super().__init__(scenes, param.root_folder, param.batch_size, pixels, 0, share)
        self._param = param

    def size(self, size: Size) -> Size:
        """To which rows and columns an image is resized."""
        p = self._param
        rows, columns = size
        if p.resize_width and p.resize_height:
            rows, columns = p.resize_height, p.resize_width
        elif p.short_size and p.long_size:
            scale = np.float32(p.short_size) / np.float32(min(size))
            rows, columns = (min(rounded(float(np.float32(v) * scale)), p.long_size) for v in size)
        return max(rounded(rows / 32) * 32, 32), max(rounded(columns / 32) * 32, 32)

    def load(self, job: Job, allocate: Allocate) -> list[Array]:
        data, sizes, rows = np.zeros(0), allocate((len(job.items), 2, 1, 1)), []
        for i, item in enumerate(job.items):
            image = self.image(self.scenes[item])
            image, scene = shrunk(image, self.scenes[item], self.size(image.shape[:2]))
            if not i:
                data = allocate((len(job.items), 3, *image.shape[:2]))
            self.pixels.write(image, data[i])
            sizes[i, :, 0, 0] = image.shape[:2]
            rows.append(scene.rows(i))
        return [data, blob_of(rows, allocate), sizes]


class DetectionBatches(SceneBatches):
    """Images as they are trained on: distorted, mirrored, resized, rescaled by chance and cut, with maps of labels."""

    def __init__(
        self,
        param: caffe_pb2.DetectionDataParameter,
        scenes: Sequence[Scene],
        pixels: Pixels,
        mirror: bool,
        seed: int,
        share: Share,
    ):
        super().__init__(scenes, param.root_folder, param.batch_size, pixels, seed, share)
        self._param = param
        self._mirror = mirror
        self.fields = [Field(*row) for row in zip(param.stride, param.field_w, param.field_h)]
        self._rules = Rules(
            param.fg_threshold,
            param.ignore_fg_threshold,
            param.pickup_iou_thr,
            param.anchor_ignore_margin_ratio if param.HasField("anchor_ignore_margin_ratio") else None,
            param.anchor_ignore_iou_thr if param.HasField("anchor_ignore_iou_thr") else None,
        )
        self._orders: dict[int, list[int]] = {}

    def order(self, turn: int) -> Sequence[int]:
        p = self._param
        if turn not in self._orders:
            if len(self._orders) > 1:
                del self._orders[min(self._orders)]
            shuffle = p.shuffle if p.HasField("shuffle") else ""
            self._orders[turn] = list(
                orders(self.scenes, shuffle, p.mix_group_size, self.rng((1 << 62) + turn))
            )
        return self._orders[turn]

    def restore(self, state: State) -> None:
        super().restore(state)
        self._orders.clear()

    def resized(self, size: Size, ratio: float = 1.0) -> Size:
        """To which rows and columns an image is resized."""
        p = self._param
        if p.resize_width and p.resize_height:
            return p.resize_height, p.resize_width
        scale = 1.0
        if p.resize_ratio:
            scale = p.resize_ratio
        elif p.short_size and p.long_size:
            scale = rounded(p.short_size * ratio / 32) * 32 / min(size)
        return max(rounded(size[0] * scale), 1), max(rounded(size[1] * scale), 1)

    def template(self, size: Size, ratio: float = 1.0) -> Size:
        """Rows and columns of a batch whose first image, resized, has ``size``."""
        p = self._param
        if p.crop_width and p.crop_height:
            return p.crop_height, p.crop_width
        short, long = p.crop_short_size, p.crop_long_size
        if not (short and long):
            if not (p.short_size and p.long_size):
                return size
            short, long = (rounded(s * ratio / 32) * 32 for s in (p.short_size, p.long_size))
        return (long, short) if size[0] >= size[1] else (short, long)

    def load(self, job: Job, allocate: Allocate) -> list[Array]:
        p = self._param
        ratio = 1.0
        if p.template_ratio:
            ratio = float(self.rng(int(job.indices[0])).choice(list(p.template_ratio)))
        data, template, rows = np.zeros(0), (0, 0), []
        maps: list[Array] = []
        for i, (item, index) in enumerate(zip(job.items, job.indices)):
            rng = self.rng(int(index))
            rng.random()  # the batch's
            scene, image = self.scenes[item], self.image(self.scenes[item])
            if p.HasField("distort_param"):
                image = distort(image, p.distort_param, rng)
            if self._mirror and rng.random() < 0.5:
                image, scene = image[:, ::-1], scene.flipped(image.shape[1])
            image, scene = shrunk(np.ascontiguousarray(image), scene, self.resized(image.shape[:2], ratio))
            if not i:
                template = self.template(image.shape[:2], ratio)
                data = allocate((len(job.items), 3, *template))
                data.fill(0)
            cut, scene, area = self._cut(image, scene, template, rng)
            bottom, right = area.top + area.height, area.left + area.width
            self.pixels.write(cut, data[i, :, area.top : bottom, area.left : right])
            scene = self._ignoring(scene, template)
            rows.append(scene.rows(i))
            maps = maps or [allocate((len(job.items), 6, *map_size(area, f))) for f in self.fields]
            for out, made in zip(maps, label_maps(scene, area, self.fields, self._rules)):
                out[i] = made
        return [data, *maps, *([blob_of(rows, allocate)] if p.output_gt_boxes else [])]

    def _ignoring(self, scene: Scene, template: Size) -> Scene:
        """Without the boxes that are too small, or whose centre is outside."""
        p = self._param
        middle = (scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2
        size = scene.boxes[:, 2:] - scene.boxes[:, :2] + 1
        outside = (middle < 0).any(1) | (middle >= [template[1], template[0]]).any(1)
        small = (size < [p.min_gt_width, p.min_gt_height]).any(1)
        return replace(scene, ignored=scene.ignored | outside | small)

    def _cut(
        self, image: Array, scene: Scene, template: Size, rng: np.random.Generator
    ) -> tuple[Array, Scene, Area]:
        """The part of an image, rescaled by chance, that fills a template, and where it is there.

        It is around the centre of a box by chance, or somewhere.
        """
        rows, columns = image.shape[:2]
        chosen = int(rng.integers(len(scene.boxes))) if len(scene.boxes) else None
        if chosen is not None:
            x, y = ((scene.boxes[chosen, :2] + scene.boxes[chosen, 2:]) / 2).tolist()
        else:
            x, y = (
                have / 2 if want > have else rng.integers(have - want + 1) + want / 2
                for have, want in ((columns, template[1]), (rows, template[0]))
            )
        across, down = self._rescaling(scene, chosen, rng)
        if across > 1.5 or down > 1.5:  # only what is near, before it is enlarged
            width, height = (
                min(rounded(1.2 * columns / across), columns),
                min(rounded(1.2 * rows / down), rows),
            )
            left = min(max(rounded(x - width / 2), 0), columns - width)
            top = min(max(rounded(y - height / 2), 0), rows - height)
            image, x, y = image[top : top + height, left : left + width], x - left, y - top
            scene = scene.moved(shift=(-left, -top))
            rows, columns = height, width
        size = max(rounded(rows * down), 1), max(rounded(columns * across), 1)
        if size != image.shape[:2]:
            import cv2

            image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        scene = scene.moved((across, down))
        noise = rng.integers(-10, 10, 2).tolist()
        spans = [
            _span(size[1], template[1], rounded(x * across), noise[0]),
            _span(size[0], template[0], rounded(y * down), noise[1]),
        ]
        (to_x, from_x, width), (to_y, from_y, height) = spans
        scene = scene.moved(shift=(to_x - from_x, to_y - from_y))
        area = Area(*template, left=to_x, top=to_y, width=width, height=height)
        return image[from_y : from_y + height, from_x : from_x + width], scene, area

    def _rescaling(self, scene: Scene, chosen: int | None, rng: np.random.Generator) -> tuple[float, float]:
        """By how much an image is enlarged, across and down."""
        p = self._param
        by_object = p.HasField("min_scale") and p.HasField("max_scale")
        by_ratio = p.HasField("low_scale_ratio") and p.HasField("high_scale_ratio")
        if not (by_object or by_ratio) or rng.random() >= p.multiscale_prob:
            return 1.0, 1.0
        low, high = p.low_scale_ratio, p.high_scale_ratio
        if not by_ratio:
            low = high = 2.0  # without a box, as in the original
            if chosen is not None:
                extent = float(np.sqrt(np.prod(scene.boxes[chosen, 2:] - scene.boxes[chosen, :2] + 1)))
                low, high = p.min_scale / extent, p.max_scale / extent
        factor = 2 ** rng.uniform(np.log2(low), np.log2(high))
        aspect = 1.0
        if p.HasField("min_whaspect") and p.HasField("max_whaspect"):
            aspect = float(np.sqrt(2 ** rng.uniform(np.log2(p.min_whaspect), np.log2(p.max_whaspect))))
        return float(factor * aspect), float(factor / aspect)


def _span(have: int, want: int, centre: int, noise: int) -> tuple[int, int, int]:
    """Of ``have`` pixels along an axis what goes into ``want``: to, from, how many."""
    if have < want:
        return min(max(rounded((want - have) / 2) + noise, 0), want - have), 0, have
    return 0, min(max(centre + noise - rounded(want / 2), 0), have - want), want
