"""The checkout that scripts start from: theirs, or a folder of ours with what it held; and what is missing in it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

_PARTS = ("models", "data", "examples")
_told: set[str] = set()
_HINTS = (
    (
        r"data/ilsvrc12/|ilsvrc_2012_mean|imagenet_mean|synset_words",
        "caffe download ilsvrc_aux, then caffe root {root}",
    ),
    (r"(?:train|t10k)-(?:images|labels)-idx|mnist_(?:train|test)_lmdb", "caffe download mnist"),
    (r"cifar10?[-_]", "caffe download cifar10"),
    (r"examples/images/", "caffe root {root} --from=FOLDER, with the folder that has the pictures"),
)


def is_checkout(path: Any) -> bool:
    """Whether a folder looks like Caffe's."""
    return any(os.path.isdir(os.path.join(path, part)) for part in _PARTS)


def ours() -> Path:
    """The folder that stands in for a checkout: ``$CAFFE_ROOT``, else one in the user's cache."""
    if "CAFFE_ROOT" in os.environ:
        return Path(os.environ["CAFFE_ROOT"])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "caffe-torch", "root")


def root(path: Any) -> Any:
    """The folder a script names where it is a checkout, else :func:`ours`, laid out when it is first needed."""
    if not isinstance(path, (str, os.PathLike)) or is_checkout(path):
        return path
    from caffe.models.root import lay_out

    place = ours()
    if not is_checkout(place):
        lay_out(place, offline=True)
    if str(path) not in _told:
        _told.add(str(path))
        print(
            f"caffe run: '{path}' is no Caffe checkout; its files are looked for in {place}"
            f" (caffe root {place} --from=FOLDER --weights=NAME brings more)",
            file=sys.stderr,
        )
    return f"{place}/"


_WITHIN = re.compile(
    r"(?:[^\s:]*/)?[^\s/:]*caffe[^\s/:]*/((?:models|data|examples|python/caffe/imagenet)/[^\s:]*)",
    re.IGNORECASE,
)


def is_within_checkout(path: str) -> bool:
    """Whether a path leads through a folder with Caffe's name to what a checkout holds."""
    return _WITHIN.fullmatch(path) is not None


def place(path: str) -> str:
    """A path into a checkout, or the same one in :func:`ours` where it is not there."""
    match = _WITHIN.fullmatch(path)
    if match is None or os.path.exists(path):
        return path
    start = path[: -len(match.group(1))]
    return f"{root(start)}".rstrip("/") + "/" + match.group(1)


def hint(message: str) -> str:
    """The command that brings a file which a message says is missing, or nothing."""
    from caffe.models import catalogue

    weights = re.search(r"[\w.-]+\.caffemodel", message)
    if weights:
        for entry in catalogue.entries().values():
            if any(remote.name == weights[0] for remote in entry.files):
                return f"caffe root {ours()} --weights={entry.name}"
    for pattern, command in _HINTS:
        match = re.search(pattern, message)
        if match:
            return command.format(*match.groups(), root=ours())
    return ""
