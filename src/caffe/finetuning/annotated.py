"""Images with annotated boxes, from a folder in PASCAL VOC's form or COCO's, as records of SSD's databases."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from caffe import limits, logs
from caffe.data.image_files import read_bytes
from caffe.data.sources.database import create
from caffe.data.transform import decode
from caffe.errors import CaffeError, DataError
from caffe.formats import files
from caffe.proto import caffe_pb2

_LARGEST_XML = 16 << 20  # bytes
_LONGEST_KEY = 500  # bytes; LMDB takes 511
_NAMED = 5
_LEAST = 4  # images: some to learn from, some to test on


@dataclass
class Thing:
    """Something on an image: its class's name, its box in pixels (x1, y1, x2, y2), and whether it is hard to see."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False


@dataclass
class Scene:
    """An image with what is on it."""

    file: str
    things: list[Thing] = field(default_factory=list)


@dataclass
class Annotated:
    """Images, by paths relative to ``root``, and the classes' names, sorted: the label of the first is 1."""

    root: Path
    scenes: list[Scene]
    classes: list[str]


def is_annotated(folder: str | Path) -> bool:
    """Whether :func:`find` takes this: a folder with VOC's ``Annotations``, or with a COCO file."""
    place = Path(folder).expanduser()
    return place.is_dir() and ((place / "Annotations").is_dir() or bool(_coco_files(place)))


def find(folder: str | Path) -> Annotated:
    """The annotated images of a folder: ``Annotations/*.xml`` with ``JPEGImages``, or a COCO ``.json`` with its images.

    Raises DataError, with the file, where an annotation cannot be, names an image outside the folder, or nothing is
    annotated.
    """
    root = Path(folder).expanduser()
    with limits.guarding(DataError, root):
        return _find(root)


def _find(root: Path) -> Annotated:
    scenes = _voc(root) if (root / "Annotations").is_dir() else _coco(_coco_files(root), root)
    absent = [scene.file for scene in scenes if not (root / scene.file).is_file()]
    if absent:
        raise DataError(f"{len(absent)} annotated images do not exist: {_few(absent)}", file=root)
    classes = sorted({thing.name for scene in scenes for thing in scene.things})
    if not classes:
        raise DataError("Nothing is annotated with a box and a class", file=root)
    empty = sum(not scene.things for scene in scenes)
    if empty:
        logs.warning(f"On {empty} images nothing is annotated: they are left out")
    scenes = [scene for scene in scenes if scene.things]
    if len(scenes) < _LEAST:
        raise DataError(
            f"There must be at least {_LEAST} images with boxes; there are {len(scenes)}", file=root
        )
    return Annotated(root, scenes, classes)


def split(found: Annotated, test_share: float, seed: int) -> tuple[list[Scene], list[Scene]]:
    """Training and test images, at random by the seed."""
    order = np.random.default_rng(seed).permutation(len(found.scenes))
    count = min(max(round(test_share * len(order)), 1), len(order) - 1)
    return [found.scenes[i] for i in order[count:]], [found.scenes[i] for i in sorted(order[:count])]


def write(found: Annotated, scenes: list[Scene], path: Path, progress: Callable[[], None]) -> list[Scene]:
    """An LMDB of AnnotatedDatum; damaged images are left out, and told of. Returns those written.

    Raises DataError where a box lies outside its image, or all images are damaged.
    """
    label = {name: i for i, name in enumerate(found.classes, 1)}
    written: list[Scene] = []
    damaged: list[str] = []
    with create(path, "lmdb") as writer:
        for scene in scenes:
            progress()
            try:
                data = read_bytes(str(found.root / scene.file))
                height, width = decode(data).shape[:2]
            except CaffeError:
                damaged.append(scene.file)
                continue
            record = caffe_pb2.AnnotatedDatum(type=caffe_pb2.AnnotatedDatum.BBOX)
            record.datum.encoded, record.datum.data = True, data
            record.datum.channels, record.datum.height, record.datum.width = 3, height, width
            for number, thing in enumerate(scene.things):
                x1, y1, x2, y2 = thing.box
                if not (-1 <= x1 < x2 <= width + 1 and -1 <= y1 < y2 <= height + 1):
                    raise DataError(
                        f"A box of '{thing.name}' must lie in the image of {width} × {height} pixels; got "
                        f"{x1:g}, {y1:g} to {x2:g}, {y2:g}",
                        file=found.root / scene.file,
                        fix="Correct the annotation (corners are in pixels)",
                    )
                group = record.annotation_group.add(group_label=label[thing.name])
                box = group.annotation.add(instance_id=number).bbox
                box.xmin, box.ymin = max(x1 / width, 0), max(y1 / height, 0)
                box.xmax, box.ymax = min(x2 / width, 1), min(y2 / height, 1)
                box.difficult = thing.difficult
            key = f"{len(written):08d}_{scene.file}".encode("utf-8", "surrogateescape")[:_LONGEST_KEY]
            writer.put(key, record.SerializeToString())
            written.append(scene)
    if damaged:
        logs.warning(f"{len(damaged)} images cannot be decoded and are left out: {_few(damaged)}")
    if not written:
        raise DataError("None of the images can be decoded", file=found.root)
    return written


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")


def _voc(root: Path) -> list[Scene]:
    scenes = []
    images = root / "JPEGImages"
    for path in sorted((root / "Annotations").glob("*.xml")):
        try:
            tree = ElementTree.fromstring(files.read_bytes(path, _LARGEST_XML, kind=DataError))
            name = tree.findtext("filename") or f"{path.stem}.jpg"
            # files of one name belong together, whatever an annotation that was copied says
            pairs = sorted(images.glob(f"{glob.escape(path.stem)}.*")) if images.is_dir() else []
            beside = pairs[0] if pairs else (images if images.is_dir() else root) / name
            scene = Scene(_below(root, str(beside), path))
            for one in tree.iter("object"):
                box = one.find("bndbox")
                if box is None:
                    raise ValueError("an object has no bndbox")
                corners = [float(box.findtext(corner) or "") for corner in ("xmin", "ymin", "xmax", "ymax")]
                label = (one.findtext("name") or "").strip()
                if not label:
                    raise ValueError("an object has no name")
                # VOC counts pixels from 1, with the last one inside
                corners = [corners[0] - 1, corners[1] - 1, corners[2], corners[3]]
                scene.things.append(Thing(label, tuple(corners), one.findtext("difficult") == "1"))  # type: ignore[arg-type]
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            if isinstance(error, CaffeError):
                raise
            raise DataError(f"is no annotation of VOC's form: {error}", file=path) from None
        scenes.append(scene)
    if not scenes:
        raise DataError("holds no .xml", file=root / "Annotations")
    return scenes


def _coco_files(root: Path) -> list[Path]:
    """Files of annotations: they are large, so only their beginning is looked at."""
    found = []
    for path in sorted([*root.glob("*.json"), *root.glob("annotations/*.json")]):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            begin = file.read(1 << 16)
        if any(word in begin for word in (b'"images"', b'"annotations"', b'"categories"')):
            found.append(path)
    return found


def _coco(paths: list[Path], root: Path) -> list[Scene]:
    scenes: list[Scene] = []
    for path in paths:
        try:
            content: Any = json.loads(files.read_bytes(path, limits.memory() // 4, kind=DataError))
            names = {int(one["id"]): str(one["name"]) for one in content["categories"]}
            by_id = {one["id"]: Scene(_place(root, str(one["file_name"]), path)) for one in content["images"]}
            for one in content["annotations"]:
                if one.get("iscrowd"):
                    continue
                x, y, width, height = map(float, one["bbox"])
                if one["image_id"] not in by_id or int(one["category_id"]) not in names:
                    raise ValueError(f"annotation {one.get('id')} is of an unknown image or category")
                thing = Thing(names[int(one["category_id"])], (x, y, x + width, y + height))
                by_id[one["image_id"]].things.append(thing)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            if isinstance(error, CaffeError):
                raise
            raise DataError(
                f"is no annotation of COCO's form: {type(error).__name__}: {error}", file=path
            ) from None
        scenes += by_id.values()
    return scenes


def _place(root: Path, name: str, annotation: Path) -> str:
    """Where an image is, below ``root``: COCO names it without its folder."""
    for folder in ("", "images", "train2017", "val2017", "train2014", "val2014"):
        if (root / folder / name).is_file():
            return _below(root, str(root / folder / name), annotation)
    return name


def _below(root: Path, image: str, annotation: Path) -> str:
    """An image's path relative to ``root``: a stranger's annotations shall put no other picture into a database."""
    name = os.path.relpath(image, root)
    if name.split(os.sep)[0] == os.pardir:
        raise DataError(
            f"names an image outside the folder: {name[:200]!r}",
            file=annotation,
            fix="Put the images into the folder, or a link to where they are",
        )
    return name
