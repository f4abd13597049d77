"""A folder of images, a class a folder: found, checked, split into training and test lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffe import logs
from caffe.data.image_files import read_image
from caffe.errors import CaffeError, DataError, InputError, MissingFileError

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_CLASSES = 20_000
_LEAST = 2  # images of a class: one to learn from, one to test on
_NAMED = 5


@dataclass
class ImageFolder:
    """The images of each class, by paths relative to ``root``; names sorted, as the labels count."""

    root: Path
    classes: list[str] = field(default_factory=list)
    images: list[list[str]] = field(default_factory=list)
    others: int = 0
    """Files that are no images by their endings."""

    @property
    def count(self) -> int:
        return sum(map(len, self.images))


def scan(folder: str | Path) -> ImageFolder:
    """The images of a folder of folders. Raises MissingFileError, DataError where there are no two classes."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise MissingFileError("There is no such folder of images", file=root)
    found = ImageFolder(root)
    loose = [path for path in root.iterdir() if path.is_file() and path.suffix.lower() in ENDINGS]
    for place in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = sorted(path for path in place.rglob("*") if path.is_file() and not path.name.startswith("."))
        images = [str(path.relative_to(root)) for path in files if path.suffix.lower() in ENDINGS]
        found.others += len(files) - len(images)
        if images:
            found.classes.append(place.name)
            found.images.append(images)
    if len(found.classes) < 2:
        have = f"one class, '{found.classes[0]}'" if found.classes else "no folder with images"
        lies = f" and {len(loose)} images beside the folders" if loose else ""
        raise DataError(
            f"There must be a folder for each of at least two classes; there is {have}{lies}",
            file=root,
            fix=f"Put the images into {root.name}/cat/…, {root.name}/dog/… and so on",
        )
    if len(found.classes) > MOST_CLASSES:
        raise DataError(
            f"There are {len(found.classes):,} classes; at most {MOST_CLASSES:,} are taken", file=root
        )
    if loose:
        logs.warning(f"{len(loose)} images lie beside the folders of classes in {root}: they are left out")
    odd = [name for images in found.images for name in images if "\n" in name or "\r" in name]
    if odd:
        raise DataError(
            "A file's name must hold no line break: lists have a line an image", file=root / odd[0]
        )
    return found


def leave_out_damaged(images: ImageFolder, progress: Callable[[], None] = lambda: None) -> list[str]:
    """Decode every image once and take out those that cannot be; returns them. Raises DataError where few are left."""
    damaged = []
    for names in images.images:
        for name in list(names):
            try:
                read_image(str(images.root / name))
            except CaffeError:
                names.remove(name)
                damaged.append(name)
            progress()
    if damaged:
        shown = ", ".join(damaged[:_NAMED]) + (" …" if len(damaged) > _NAMED else "")
        logs.warning(f"{len(damaged)} files cannot be decoded and are left out: {shown}")
    few = [f"{c} ({len(names)})" for c, names in zip(images.classes, images.images) if len(names) < _LEAST]
    if few:
        raise DataError(
            f"Every class needs at least {_LEAST} images that can be read, one to learn from and one to test on; "
            f"too few have {', '.join(few[:_NAMED])}"
            + (f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""),
            file=images.root,
            fix="Add images, or take these folders away",
        )
    return damaged


Lines = list[tuple[str, int]]
"""File and label."""


def split(images: ImageFolder, test_share: float, seed: int) -> tuple[Lines, Lines]:
    """Training and test images of every class, at random by the seed; at least one of each class in both.

    Raises InputError for a share that leaves none.
    """
    if not 0 < test_share < 1:
        raise InputError(f"The share of images to test on must be between 0 and 1; got {test_share:g}")
    rng = np.random.default_rng(seed)
    train: Lines = []
    test: Lines = []
    for label, names in enumerate(images.images):
        order = [names[i] for i in rng.permutation(len(names))]
        count = min(max(round(test_share * len(names)), 1), len(names) - 1)
        test += [(name, label) for name in sorted(order[:count])]
        train += [(name, label) for name in sorted(order[count:])]
    return [train[i] for i in rng.permutation(len(train))], test


def write_list(path: Path, lines: Lines) -> None:
    """A list as ImageData reads it: file and label a line."""
    path.write_text(
        "".join(f"{name} {label}\n" for name, label in lines), encoding="utf-8", errors="surrogateescape"
    )
