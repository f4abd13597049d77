"""Images with their classes, from a folder a class, a list or a CSV: found, checked, split into training and test."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffe import limits, logs
from caffe.data.image_files import list_lines, read_image
from caffe.errors import CaffeError, DataError, InputError, MissingFileError

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_CLASSES = 20_000
_LEAST = 2  # images of a class: one to learn from, one to test on
_NAMED = 5
_UNEVEN = 10  # times as many images in one class as in another
_FEW = 10  # images of a class


@dataclass
class ImageFolder:
    """The images of each class, by paths relative to ``root``; names sorted, as the labels count.

    Where ``marks`` says of each image which of the classes it shows (0 or 1 a class), ``images`` is one group of all.
    """

    root: Path
    classes: list[str] = field(default_factory=list)
    images: list[list[str]] = field(default_factory=list)
    others: int = 0
    """Files that are no images by their endings."""
    marks: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(map(len, self.images))


def find(source: str | Path, names: str | Path = "", root: str | Path = "") -> ImageFolder:
    """The images of a folder of folders, or of a list or CSV; whatever cannot be learned from is told of at once.

    ``names``: a file with a class a line (``labels.txt`` beside the images is taken by itself); ``root``: where the
    list's images are, if not beside it. Raises MissingFileError, DataError.
    """
    place = Path(source).expanduser()
    with limits.guarding(DataError, place):
        return _find(place, names, root)


def _find(place: Path, names: str | Path, root: str | Path) -> ImageFolder:
    if place.is_dir():
        found = scan(place)
    elif place.is_file():
        found = _listed(place, Path(root).expanduser() if root else place.parent)
    else:
        raise MissingFileError("There is no such folder of images, nor a list", file=place)
    beside = found.root / "labels.txt"
    if names or beside.is_file():
        _named_by(found, Path(names).expanduser() if names else beside)
    odd = [name for images in found.images for name in images if "\n" in name or "\r" in name]
    if odd:
        raise DataError(
            "A file's name must hold no line break: lists have a line an image", file=found.root / odd[0]
        )
    if len(found.classes) > MOST_CLASSES:
        raise DataError(
            f"There are {len(found.classes):,} classes; at most {MOST_CLASSES:,} are taken", file=place
        )
    if found.others:
        logs.warning(f"{found.others} files are no images by their endings: they are left out")
    return found


def scan(folder: Path) -> ImageFolder:
    """The images of a folder of folders. Raises DataError where there are no two classes."""
    root = folder
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
    if loose:
        logs.warning(f"{len(loose)} images lie beside the folders of classes in {root}: they are left out")
    return found


def _listed(path: Path, root: Path) -> ImageFolder:
    """The images that a list (file, label a line) or a CSV (file, label or a 0 or 1 a class) names."""
    separated = path.suffix.lower() in (".csv", ".tsv")
    rows = _csv_rows(path) if separated else _list_rows(path)
    header: list[str] = []
    if separated and not (root / rows[0][1][0]).is_file():
        header = rows.pop(0)[1]
    absent = [cells[0] for _, cells in rows if not (root / cells[0]).is_file()]
    if absent or not rows:
        shown = ", ".join(absent[:_NAMED]) + (" …" if len(absent) > _NAMED else "")
        raise DataError(
            f"{len(absent)} of its {len(rows)} images do not exist in {root}: {shown}"
            if rows
            else "names no image",
            file=path,
            fix="Name their folder with --root=FOLDER" if absent else None,
        )
    width = len(rows[0][1])
    for line, cells in rows:
        if len(cells) != width or width < 2:
            raise DataError(
                f"must hold a file and {max(width - 1, 1)} label(s); got {', '.join(cells)!r}",
                file=path,
                line=line,
            )
    found = ImageFolder(root)
    labels: dict[str, tuple[str, ...]] = {}
    for line, cells in rows:
        # below root where it is there, so that lists stay short and can be moved with their images
        name = os.path.relpath(root / cells[0], root) if os.path.isabs(cells[0]) else cells[0]
        if labels.setdefault(name, tuple(cells[1:])) != tuple(cells[1:]):
            raise DataError(
                f"{name} has the label {' '.join(labels[name])} in another line, and {' '.join(cells[1:])} here",
                file=path,
                line=line,
            )
    if len(labels) < len(rows):
        logs.warning(f"{len(rows) - len(labels)} lines of {path} name an image again: they are left out")
    if width > 2:
        _mark(found, labels, header, path)
    else:
        _group(found, {name: label for name, (label,) in labels.items()}, path)
    return found


def _list_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line number, and file and label, of each line that is not empty."""
    lines = [(number, line.strip()) for number, line in enumerate(list_lines(str(path)), 1)]
    return [(number, line.rsplit(None, 1)) for number, line in lines if line]


def _csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    text = "\n".join(list_lines(str(path)))
    separator = "\t" if path.suffix.lower() == ".tsv" else ";" if text.split("\n")[0].count(";") else ","
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise DataError(f"is no CSV: {error}", file=path) from None
    rows = [(line, cells) for line, cells in rows if any(cells)]
    if not rows:
        raise DataError("is empty: it must name images", file=path)
    return rows


def _group(found: ImageFolder, labels: dict[str, str], path: Path) -> None:
    """The images by class: labels are numbers from 0, or names."""
    kinds = set(labels.values())
    if all(label.isascii() and label.isdecimal() for label in kinds):
        numbers = sorted({int(label) for label in kinds})
        missing = sorted(set(range(min(numbers[-1] + 1, MOST_CLASSES))) - set(numbers))
        if missing or numbers[-1] >= MOST_CLASSES:
            raise DataError(
                f"Labels must count from 0 without gaps; there are {len(numbers)} up to {numbers[-1]}, no image has "
                f"{', '.join(map(str, missing[:_NAMED]))}{' …' if len(missing) > _NAMED else ''}",
                file=path,
            )
        found.classes = [str(number) for number in numbers]
        place = {label: int(label) for label in kinds}
    else:
        found.classes = sorted(kinds)
        place = {label: i for i, label in enumerate(found.classes)}
    if len(found.classes) < 2:
        raise DataError(
            f"There must be at least two classes; all images are of '{found.classes[0]}'", file=path
        )
    found.images = [[] for _ in found.classes]
    for name, label in labels.items():
        found.images[place[label]].append(name)


def _mark(found: ImageFolder, labels: dict[str, tuple[str, ...]], header: list[str], path: Path) -> None:
    """Images of which each shows any of the classes: a column a class, 0 or 1."""
    for name, cells in labels.items():
        if any(cell not in ("0", "1") for cell in cells):
            raise DataError(
                f"Several labels are a 0 or 1 for each class; {name} has {', '.join(cells)}",
                file=path,
                fix="Give one label an image, or a column of 0 and 1 for each class",
            )
    found.marks = {name: tuple(map(int, cells)) for name, cells in labels.items()}
    count = len(next(iter(labels.values())))
    found.classes = header[1:] or [str(i) for i in range(count)]
    if len(found.classes) != count:
        raise DataError(
            f"The first line names {len(found.classes)} classes; the others have {count}", file=path
        )
    found.images = [list(labels)]


def _named_by(found: ImageFolder, path: Path) -> None:
    """Take the classes' names, and their order, from a file. Raises DataError where it disagrees with the images."""
    names = [line.strip() for line in list_lines(str(path)) if line.strip()]
    doubled = sorted(name for name, count in Counter(names).items() if count > 1)
    numbered = found.classes == [str(i) for i in range(len(found.classes))]
    if doubled:
        raise DataError(f"names {', '.join(doubled[:_NAMED])} more than once", file=path)
    if not numbered and set(names) != set(found.classes):
        more = sorted(set(names) - set(found.classes))
        less = sorted(set(found.classes) - set(names))
        said = [
            f"{what} {', '.join(some[:_NAMED])}{' …' if len(some) > _NAMED else ''}"
            for what, some in (("it alone has", more), ("the images alone have", less))
            if some
        ]
        raise DataError(
            f"disagrees with the images' classes: {'; '.join(said)}",
            file=path,
            fix="Correct it, or take it away",
        )
    if len(names) != len(found.classes):
        raise DataError(
            f"must name {len(found.classes)} classes, as the images have; it names {len(names)}", file=path
        )
    if not numbered and not found.marks:
        place = {name: i for i, name in enumerate(found.classes)}
        found.images = [found.images[place[name]] for name in names]
    if numbered or not found.marks:
        found.classes = names


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
    groups = ["all classes"] if images.marks else images.classes
    few = [f"{c} ({len(names)})" for c, names in zip(groups, images.images) if len(names) < _LEAST]
    if few:
        raise DataError(
            f"Every class needs at least {_LEAST} images that can be read, one to learn from and one to test on; "
            f"too few have {', '.join(few[:_NAMED])}"
            + (f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""),
            file=images.root,
            fix="Add images, or take these classes away",
        )
    counts = [len(names) for names in images.images]
    if min(counts) < _FEW:
        logs.warning(
            f"{groups[counts.index(min(counts))]} has {min(counts)} images: what is learned from so few, and the "
            "accuracy measured on them, says little"
        )
    if max(counts) > _UNEVEN * min(counts):
        logs.warning(
            f"{groups[counts.index(max(counts))]} has {max(counts)} images, {groups[counts.index(min(counts))]} has "
            f"{min(counts)}: --balance lets rare classes come up as often"
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


def write_list(path: Path, lines: Lines, marks: dict[str, tuple[int, ...]]) -> None:
    """A list as ImageData reads it: file and label a line, or the labels that ``marks`` has for it."""
    labels = (" ".join(map(str, marks[name])) if marks else str(label) for name, label in lines)
    path.write_text(
        "".join(f"{name} {label}\n" for (name, _), label in zip(lines, labels)),
        encoding="utf-8",
        errors="surrogateescape",
    )
