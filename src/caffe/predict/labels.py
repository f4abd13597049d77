"""The names of classes: a line each, or SSD's label map."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format

from caffe.errors import DataError, MissingFileError
from caffe.proto import caffe_pb2

USUAL = (
    "labels.txt",
    "synset_words.txt",
    "labelmap.prototxt",
    "labelmap_voc.prototxt",
    "classes.txt",
    "voc.names",
)
"""Files that are looked for beside a model."""


class Labels:
    """Number → name; a class without one is ``class 7``."""

    def __init__(self, names: dict[int, str] | None = None, file: Path | None = None) -> None:
        self.names = names or {}
        self.file = file

    def __call__(self, number: int) -> str:
        return self.names.get(number, f"class {number}")

    def __len__(self) -> int:
        return len(self.names)


def read(path: str | Path, first: int = 0) -> Labels:
    """The labels of a file: a name a line, of the classes from ``first`` on; or a label map.

    Raises MissingFileError, DataError.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingFileError("This labels file does not exist", file=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The labels cannot be read: {error}", file=path) from None
    if path.suffix == ".prototxt":
        labels = caffe_pb2.LabelMap()
        try:
            text_format.Parse(text, labels)
        except text_format.ParseError as error:
            raise DataError(f"must be a label map: {error}", file=path) from None
        return Labels({item.label: item.display_name or item.name for item in labels.item}, path)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Labels(dict(enumerate(lines, first)), path)


def beside(model: str | Path, count: int, first: int = 0) -> Labels:
    """The labels of a usual name beside a model, where there are ``count`` of them; else none."""
    for name in USUAL:
        path = Path(model).parent / name
        if path.is_file():
            labels = read(path, first)
            if len(labels) in (count, count - first):
                return labels
    return Labels()
