"""Files of detections, as the evaluation programs of VOC, COCO and ILSVRC read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from google.protobuf import text_format

from caffe import limits
from caffe.boxes import Array
from caffe.errors import DataError, FileAccessError, MissingFileError, ParseError
from caffe.proto import caffe_pb2

Resize = caffe_pb2.ResizeParameter


def read_name_size_file(file: str) -> list[tuple[str, int, int]]:
    """Lines ``name height width`` of a file. Raises MissingFileError, DataError."""
    path = Path(file)
    if not path.is_file():
        raise MissingFileError("No such file", file=file, field="name_size_file")
    words = path.read_text(encoding="utf-8").split()
    try:
        return [(words[i], int(words[i + 1]), int(words[i + 2])) for i in range(0, len(words), 3)]
    except (IndexError, ValueError):
        raise DataError("Every line must be a name, a height and a width", file=file) from None


def to_pixels(found: Array, height: int, width: int, resize: Resize | None = None) -> Array:
    """Boxes (K × 4) in units of the net's input as pixels of the image, clipped; ``resize`` is how it was
    resized.
    """
    found = found.astype(np.float64)
    scale, shift, size = np.array([width, height]), np.zeros(2), np.array([width, height])
    if resize is not None and resize.height and resize.width:
        net, aspect = np.array([resize.width, resize.height]), width / height
        if resize.resize_mode == Resize.FIT_LARGE_SIZE_AND_PAD:
            # the part of the input that the image fills, in the middle
            full = net[0] / net[1]
            part = np.array([1, full / aspect]) if aspect > full else np.array([aspect / full, 1])
            scale, shift = size / part, (1 - part) / 2
    corners = (found.reshape(-1, 2, 2) - shift) * scale
    pixels: Array = np.clip(corners, 0, size).reshape(-1, 4)
    return pixels


class DetectionFiles:
    """Collects the detections of ``num_test_image`` images, then writes them.

    Raises DataError where the parameters do not fit together, and what reading the named files raises.
    """

    def __init__(self, param: caffe_pb2.SaveOutputParameter, background: int) -> None:
        self.param = param
        self.active = bool(param.output_directory and param.label_map_file and param.name_size_file)
        if not self.active:
            return
        if param.output_format not in ("VOC", "COCO", "ILSVRC"):
            raise DataError(
                f'must be "VOC", "COCO" or "ILSVRC"; got "{param.output_format}"', field="output_format"
            )
        self.labels = {i: name for i, name in _label_map(param.label_map_file).items() if i != background}
        self.images = read_name_size_file(param.name_size_file)
        self.count = param.num_test_image or len(self.images)
        if not 0 < self.count <= len(self.images):
            raise DataError(
                f"must be in [1, {len(self.images)}], the lines of {param.name_size_file}; got {self.count}",
                field="num_test_image",
            )
        self.seen = 0
        self.rows: list[tuple[int, int, float, list[float]]] = []

    def write(self, found: Array, images: int) -> None:
        """Take detections (K × 7) of so many more images; write when all are there."""
        if not self.active:
            return
        resize = self.param.resize_param if self.param.HasField("resize_param") else None
        for i in range(images):
            number = (self.seen + i) % self.count
            _, height, width = self.images[number]
            of_image = found[found[:, 0] == i]
            for row, box in zip(of_image, to_pixels(of_image[:, 3:], height, width, resize)):
                self.rows.append((number, int(row[1]), float(row[2]), box.tolist()))
            if number == self.count - 1:
                self._finish()
        self.seen += images

    def _finish(self) -> None:
        folder = Path(self.param.output_directory)
        limits.check_output(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in self._files().items():
                limits.check_output(folder / name)
                (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise FileAccessError(f"cannot write detections: {error}", file=folder) from error
        self.rows = []

    def _files(self) -> dict[str, str]:
        prefix, kind = self.param.output_name_prefix, self.param.output_format
        if kind == "VOC":
            texts = dict.fromkeys(self.labels, "")
            for image, label, score, box in self.rows:
                corners = " ".join(f"{v:g}" for v in box)
                texts[label] = texts.get(label, "") + f"{self.images[image][0]} {score:g} {corners}\n"
            return {f"{prefix}{self.labels.get(i, i)}.txt": text for i, text in texts.items()}
        if kind == "COCO":
            entries = [
                {
                    "image_id": _number(self.images[image][0]),
                    "category_id": _number(self.labels.get(label, str(label))),
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "score": score,
                }
                for image, label, score, box in self.rows
            ]
            return {f"{prefix}.json": json.dumps(entries, indent=1)}
        lines = [
            f"{image + 1} {label} {score:g} " + " ".join(f"{v:g}" for v in box)
            for image, label, score, box in self.rows
        ]
        return {f"{prefix}.txt": "".join(line + "\n" for line in lines)}


def _number(name: str) -> int | str:
    return int(name) if name.isdecimal() else name


def _label_map(file: str) -> dict[int, str]:
    path = Path(file)
    if not path.is_file():
        raise MissingFileError("No such file", file=file, field="label_map_file")
    label_map = caffe_pb2.LabelMap()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), label_map)
    except text_format.ParseError as error:
        raise ParseError(f"is no label map: {error}", file=file) from error
    return {item.label: item.name for item in label_map.item}
