"""``caffe_root``: the folder that tutorials start from, with what this package writes and what is at hand.

::

    models/*/  examples/mnist/  examples/cifar10/    definitions that this package writes, and their weights
    data/mnist/  data/ilsvrc12/                      MNIST; labels and mean of ImageNet
    examples/images/                                 the cat and the fish bike
    python/caffe/imagenet/ilsvrc_2012_mean.npy       the mean as numpy has it, 3×256×256
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffe.data import downloads
from caffe.data.downloads import Collection, Progress
from caffe.errors import CaffeError, FileAccessError, MissingFileError
from caffe.formats import binaryproto, prototxt
from caffe.models import catalogue, lenet
from caffe.models.definitions import DEFINITIONS

MEAN = "data/ilsvrc12/imagenet_mean.binaryproto"
MEAN_NPY = "python/caffe/imagenet/ilsvrc_2012_mean.npy"
_PLAIN = {  # files without a published digest: taken as they are where they are at hand
    "data/ilsvrc12": ("synset_words.txt", "synsets.txt", "det_synset_words.txt", "imagenet_mean.binaryproto"),
    "examples/images": ("cat.jpg", "cat_gray.jpg", "fish-bike.jpg"),
}
_FOLDERS = ("data/cifar10", "examples/imagenet", "examples/images", "models", "python/caffe/imagenet")


@dataclass
class Layout:
    """What came of it: paths that were written, brought, and what is not there, each with the reason."""

    written: list[Path] = field(default_factory=list)
    brought: list[Path] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def lay_out(
    root: str | os.PathLike[str],
    *,
    sources: Sequence[str | os.PathLike[str]] = (),
    weights: Iterable[str] = (),
    offline: bool = False,
    progress: Callable[[str], Progress] | None = None,
) -> Layout:
    """Write all definitions into ``root`` and bring data, labels, pictures and weights there.

    ``sources`` are folders that are searched, with all folders in them, for files by name. ``weights`` names models
    of the catalogue whose weights are downloaded; weights at hand are brought whether named or not. Nothing is
    downloaded when ``offline``. What cannot be brought is said in the result; weights that do not have their
    published digest are left out. Raises FileAccessError, MissingFileError and InputError (an unknown model).
    """
    place = Path(root)
    wanted = [catalogue.entry(name) for name in weights]
    layout = Layout()
    for folder in _FOLDERS:
        _make(place / folder)
    for definition in DEFINITIONS.values():
        layout.written += definition.write(root=place)
    notebooks = place / lenet.FOLDER / "lenet_auto_solver.prototxt"
    prototxt.write(notebooks, lenet.notebook_solver())
    layout.written.append(notebooks)
    at_hand = _files(sources)
    fetch = None if offline else (progress or (lambda name: _silent))
    _bring(layout, place, "mnist", downloads.CATALOGUE["mnist"], at_hand, fetch)
    _bring_plain(layout, place, at_hand)
    if "data/ilsvrc12/synset_words.txt" in layout.missing and fetch is not None:
        _bring(layout, place, "ilsvrc_aux", downloads.CATALOGUE["ilsvrc_aux"], at_hand, fetch)
        layout.missing = {p: why for p, why in layout.missing.items() if not (place / p).exists()}
    for entry in catalogue.entries().values():
        if entry.files and entry in wanted:
            _bring(layout, place, entry.name, Collection(entry.folder, entry.files), at_hand, fetch)
        elif entry.is_written and any(remote.name in at_hand for remote in entry.files):
            _bring(layout, place, entry.name, Collection(entry.folder, entry.files), at_hand, None)
        elif entry in wanted:
            layout.missing[entry.name] = f"no weights with a published digest; see {entry.page}"
    _mean(layout, place)
    return layout


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccessError(f"cannot be made: {error.strerror}", file=folder) from error


def _files(sources: Sequence[str | os.PathLike[str]]) -> dict[str, list[Path]]:
    """Every file below the folders, by name, in a steady order."""
    by_name: dict[str, list[Path]] = {}
    for source in sources:
        if not os.path.isdir(source):
            raise MissingFileError("must be a folder with files at hand; there is none", file=source)
        for folder, folders, names in os.walk(source):
            folders.sort()
            for name in sorted(names):
                by_name.setdefault(name, []).append(Path(folder, name))
    return by_name


def _silent(name: str, count: int, total: int | None) -> None:
    pass


def _bring(
    found: Layout,
    root: Path,
    name: str,
    collection: Collection,
    at_hand: dict[str, list[Path]],
    fetch: Callable[[str], Progress] | None,
) -> None:
    """The files of a collection: from a folder that has them, else from the network where that is allowed."""
    folder = root / collection.folder
    _make(folder)
    reason = "not at hand"
    for source in _folders(collection, at_hand):
        try:
            found.brought += downloads.download(collection, folder, source=source)
            return
        except CaffeError as error:
            reason = error.message
    if fetch is not None:
        try:
            found.brought += downloads.download(collection, folder, progress=fetch(name))
            return
        except CaffeError as error:
            reason = error.message
    found.missing[f"{collection.folder} ({name})"] = reason


def _folders(collection: Collection, at_hand: dict[str, list[Path]]) -> Iterator[Path]:
    first = collection.files[0]
    for name in dict.fromkeys((first.name, first.result)):
        yield from (path.parent for path in at_hand.get(name, ()))


def _bring_plain(found: Layout, root: Path, at_hand: dict[str, list[Path]]) -> None:
    for folder, names in _PLAIN.items():
        _make(root / folder)
        for name in names:
            target = root / folder / name
            if target.exists():
                continue
            if name not in at_hand:
                found.missing[f"{folder}/{name}"] = "not at hand"
                continue
            try:
                shutil.copyfile(at_hand[name][0], target)
            except OSError as error:
                raise FileAccessError(f"cannot be written: {error.strerror}", file=target) from error
            found.brought.append(target)


def _mean(found: Layout, root: Path) -> None:
    """The mean of ImageNet as the tutorials load it."""
    if not (root / MEAN).exists():
        found.missing[MEAN_NPY] = f"is made from {MEAN}, which is not there"
        return
    mean = binaryproto.read_blob(root / MEAN)
    np.save(root / MEAN_NPY, mean.reshape(mean.shape[-3:]).astype(np.float64))
    found.written.append(root / MEAN_NPY)
