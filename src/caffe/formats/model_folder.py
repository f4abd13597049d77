"""A trained net in a folder: our own model folders, DIGITS' model jobs and folders of the Model Zoo.

Ours holds ``deploy.prototxt``, ``weights.caffemodel``, ``labels.txt`` and ``model.json``: ``format`` (1),
``preprocessing`` (mean, scale, channel order, sizes), ``classes``, ``metrics`` and ``versions``. A job that was
downloaded from DIGITS (a folder, or its .tar.gz) holds ``deploy.prototxt``, snapshots, ``labels.txt`` and
``mean.binaryproto``; one of the Model Zoo a ``readme.md``, ``deploy.prototxt`` and a caffemodel.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caffe.errors import DataError, MissingFileError
from caffe.formats import atomic, binaryproto, files

FORMAT = 1
NAME = "model.json"
_ARCHIVES = (".tar.gz", ".tgz")
_MOST_UNPACKED = 4 << 30  # bytes
_MOST_MEMBERS = 10_000
_LARGEST_SIDE = 1 << 14  # pixels
_LARGEST_PIECE = 1 << 26  # bytes
_LARGEST_DESCRIPTION = 16 << 20  # bytes; a thousand labels are 30 kB
_unpacked: dict[Path, tempfile.TemporaryDirectory[str]] = {}


@dataclass
class ModelFolder:
    """What is in a model folder.

    ``mean`` is a value a channel, in the net's order, empty where nothing tells; ``resize`` height and width before
    the crop.
    """

    folder: Path
    labels: list[str]
    mean: tuple[float, ...] = ()
    scale: float = 1.0
    rgb: bool = False
    resize: tuple[int, int] = (0, 0)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    weights_name: str = "weights.caffemodel"

    @property
    def deploy(self) -> Path:
        return self.folder / "deploy.prototxt"

    @property
    def weights(self) -> Path:
        return self.folder / self.weights_name

    @property
    def preparation(self) -> dict[str, Any]:
        """How a photo becomes the input, as fields of :class:`caffe.predict.preparation.Preparation`."""
        mean = {"mean": self.mean} if self.mean else {}
        return {"scale": self.scale, "rgb": self.rgb, "resize": self.resize, "smooth": False, **mean}

    @property
    def labels_file(self) -> Path:
        return self.folder / "labels.txt"

    def write(self) -> None:
        """Write ``labels.txt`` and ``model.json``. Raises FileAccessError."""
        with atomic.replacing(self.labels_file) as path:
            path.write_text("".join(f"{label}\n" for label in self.labels), encoding="utf-8")
        described = {
            "format": FORMAT,
            "preprocessing": {
                "mean": list(self.mean),
                "scale": self.scale,
                "channels": "RGB" if self.rgb else "BGR",
                "resize": list(self.resize),
            },
            "classes": self.labels,
            "metrics": self.metrics,
            "versions": self.versions,
        }
        with atomic.replacing(self.folder / NAME) as path:
            path.write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def is_model_folder(path: str | Path) -> bool:
    """Whether :func:`read` takes this: a folder with a deploy.prototxt, or a .tar.gz."""
    path = Path(path)
    return (path / NAME).is_file() or (path / "deploy.prototxt").is_file() or _is_archive(path)


def read(folder: str | Path) -> ModelFolder:
    """What a model folder holds; a .tar.gz is unpacked into a folder that lives as long as the process.

    Raises MissingFileError, DataError with the file and field.
    """
    folder = Path(folder)
    if _is_archive(folder):
        folder = _unpack(folder)
    model = _described(folder) if (folder / NAME).exists() else _published(folder)
    for part in (model.deploy, model.weights):
        if not part.is_file():
            raise MissingFileError("A model folder must hold it", file=part)
    return model


def instead_of(net: str, weights: str | None) -> ModelFolder | None:
    """The model folder that a command was given in place of a net and its weights, or None. Raises as :func:`read`."""
    return read(net) if net and not weights and is_model_folder(net) else None


def _described(folder: Path) -> ModelFolder:
    file = folder / NAME
    try:
        described = json.loads(files.read_bytes(file, _LARGEST_DESCRIPTION, kind=DataError))
        how = described["preprocessing"]
        model = ModelFolder(
            folder,
            [str(name) for name in described["classes"]],
            tuple(float(value) for value in how["mean"]),
            float(how["scale"]),
            how["channels"] == "RGB",
            (int(how["resize"][0]), int(how["resize"][1])),
            dict(described.get("metrics", {})),
            dict(described.get("versions", {})),
        )
        number = described.get("format")
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise DataError(f"is no description of a model: {type(error).__name__}: {error}", file=file) from None
    if not all(0 <= size <= _LARGEST_SIDE for size in model.resize):
        raise DataError(
            f"must be two sizes of at most {_LARGEST_SIDE}; got {list(model.resize)}",
            file=file,
            field="preprocessing.resize",
        )
    if number != FORMAT:
        raise DataError(f"must be {FORMAT}; got {number!r}", file=file, field="format")
    return model


def _published(folder: Path) -> ModelFolder:
    """A job of DIGITS, or a folder of the Model Zoo: the weights that its readme names, else of snapshots the last."""
    named = _named_in_readme(folder / "readme.md")
    if named and not (folder / named).is_file():
        raise MissingFileError(
            "The weights that its readme.md names are not here",
            file=folder / named,
            fix=f"caffe download_model_binary {folder}",
        )
    snapshots = (
        [folder / named]
        if named
        else sorted(folder.glob("*.caffemodel"), key=lambda path: (_iteration(path), path.name))
    )
    if not snapshots:
        raise MissingFileError(
            "holds no .caffemodel",
            file=folder,
            fix=f"caffe download_model_binary {folder}" if (folder / "readme.md").exists() else None,
        )
    model = ModelFolder(folder, [], weights_name=snapshots[-1].name)
    if model.labels_file.is_file():
        text = files.read_bytes(model.labels_file, kind=DataError).decode("utf-8", "replace")
        model.labels = [line for line in text.splitlines() if line.strip()]
    mean = folder / "mean.binaryproto"
    if mean.is_file():
        image = binaryproto.read_blob(mean)
        if image.ndim < 2 or not image.size:
            raise DataError(f"must hold an image; got shape {list(image.shape)}", file=mean)
        model.mean = tuple(float(value) for value in image.reshape(-1, *image.shape[-2:]).mean(axis=(1, 2)))
        model.resize = (int(image.shape[-2]), int(image.shape[-1]))
    return model


def _named_in_readme(readme: Path) -> str:
    """The file that the first lines of the Model Zoo's readme, between ``---``, call ``caffemodel``; "" for none."""
    if not readme.is_file():
        return ""
    text = files.read_bytes(readme, _LARGEST_DESCRIPTION, kind=DataError).decode("utf-8", "replace")
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    named = re.search(r"^caffemodel:[ \t]*(\S+)[ \t]*$", front[1], re.MULTILINE) if front else None
    return Path(named[1]).name if named else ""


def _iteration(path: Path) -> int:
    number = re.search(r"_iter_(\d+)$", path.stem)
    return int(number[1]) if number else -1


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(_ARCHIVES) and path.is_file()


class _Bounded(gzip.GzipFile):
    """What a gzip file holds, up to a limit; nothing that a header claims is read in one piece of any size."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _LARGEST_PIECE:
            raise ValueError(f"a header claims {size} bytes")
        if self.tell() > _MOST_UNPACKED:
            raise ValueError(f"it holds more than {_MOST_UNPACKED >> 30} GiB")
        return super().read(size)


def _unpack(archive: Path) -> Path:
    """The folder that an archive's plain files are in, without the folders of their names."""
    place = archive.resolve()
    if place in _unpacked:
        return Path(_unpacked[place].name)
    folder = tempfile.TemporaryDirectory(prefix="caffe-model-")
    left = _MOST_UNPACKED
    try:
        with _Bounded(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for count, member in enumerate(tar):
                if count >= _MOST_MEMBERS:
                    raise ValueError(f"it holds more than {_MOST_MEMBERS} entries")
                name = Path(member.name).name
                content = tar.extractfile(member) if member.isfile() and name else None
                if content is None:
                    continue
                left -= member.size
                if left < 0:
                    raise ValueError(f"it holds more than {_MOST_UNPACKED >> 30} GiB")
                with (Path(folder.name) / name).open("wb") as file:
                    while piece := content.read(1 << 20):
                        file.write(piece)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, RecursionError) as error:
        folder.cleanup()
        raise DataError(f"is no .tar.gz of a model that can be read: {error}", file=archive) from None
    _unpacked[place] = folder
    return Path(folder.name)
