"""What one has, as documents of a page: a prototxt, a solver, weights alone, a database, logs, a run's folder."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from caffe.errors import CaffeError, DataError, InputError, MissingFileError, ParseError
from caffe.formats import model_folder, prototxt
from caffe.proto import caffe_pb2

Json = dict[str, Any]
WEIGHTS = (".caffemodel", ".h5", ".hdf5")
_SOLVER = re.compile(r"^[ \t]*(net|train_net|base_lr|lr_policy|net_param|solver_mode)\s*[:{]", re.MULTILINE)
_LAYER = re.compile(r"^[ \t]*layers?\s*\{|^[ \t]*input\s*:", re.MULTILINE)


@dataclass
class Options:
    """How documents are shown."""

    phase: int = caffe_pb2.TEST
    level: int = 0
    stages: Sequence[str] = ()
    python: bool = False
    image: str = ""
    labels: Sequence[str] = ()
    prepare: Any = None
    """Sets an ImageNet's Transformer."""


class Document(Protocol):
    """One tab of the page."""

    title: str

    def json(self) -> Json:
        """All that the page shows at first."""


@dataclass
class NetDocument:
    """A net, with its weights and what it makes of a photo where these are given."""

    title: str
    text: str
    options: Options
    weights_file: str = ""
    definition: caffe_pb2.NetParameter | None = None
    """In place of ``text``, for weights alone, which hold a definition."""
    note: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def json(self) -> Json:
        found = self.parse(self.text) if self.definition is None else self._of_definition()
        found |= {"title": self.title, "text": self.text, "note": self.note}
        found["has_weights"] = bool(self.weights_file)
        if self.options.image and self.weights_file and "layers" in found:
            try:
                found["photo"] = self.photo.summary() | {"blobs": list(self.photo.blobs())}
            except CaffeError as error:
                found["photo_error"] = str(error)
        return found

    def parse(self, text: str, edited: bool = False) -> Json:
        """The net in a text, or the one error that it cannot be read for."""
        from caffe.web import analysis

        try:
            net = prototxt.parse_net(text)
            return analysis.analyse(net, **self._how(look=not edited))
        except CaffeError as error:
            return {"kind": "net", "error": analysis.error_json(error)}

    def _of_definition(self) -> Json:
        from caffe.web import analysis

        net = caffe_pb2.NetParameter()
        net.CopyFrom(self.definition)  # type: ignore[arg-type]
        try:
            return analysis.analyse(prototxt.NetFile(net), **self._how(look=True))
        except CaffeError as error:
            return {"kind": "net", "error": analysis.error_json(error)}

    def _how(self, look: bool) -> Json:
        o = self.options
        python = o.python and look  # what is typed into the page never imports anything
        return {"phase": o.phase, "level": o.level, "stages": o.stages, "python": python, "look": look}

    @cached_property
    def weights(self) -> dict[str, list[Any]]:
        """Layer name → its parameters."""
        from caffe.web import values

        return values.read_weights(self.weights_file) if self.weights_file else {}

    def layer_weights(self, name: str, picture: bool = True) -> list[Json]:
        """Range, histogram and picture of each parameter of a layer."""
        from caffe.web import values

        return [values.describe(array, picture) for array in self.weights.get(name, [])]

    @cached_property
    def photo(self) -> Any:
        """What the net makes of the image. Raises as building the net and reading files do."""
        from caffe.web import photo

        if any(layer.type == "Python" for layer in self._param().layer) and not self.options.python:
            raise InputError(
                "The net has Python layers, which are not run for a page", fix="Give --python to allow them"
            )
        net = photo.Photo.load(self._param(), self.weights_file)
        if self.options.prepare is not None:
            self.options.prepare(net)
        return photo.Photo(net, photo.load_image(self.options.image, net), self.options.labels)

    def _param(self) -> caffe_pb2.NetParameter:
        return self.definition if self.definition is not None else prototxt.parse_net(self.text).param


@dataclass
class ArraysDocument:
    """Arrays by name: weights without a net, or any HDF5 file."""

    title: str
    arrays: dict[str, list[Any]]

    def json(self) -> Json:
        from caffe.web import values

        found = [
            {"name": name, "values": [values.describe(a, picture=i < 40) for a in arrays]}
            for i, (name, arrays) in enumerate(self.arrays.items())
        ]
        return {"kind": "arrays", "title": self.title, "arrays": found}


@dataclass
class DataDocument:
    """A database: how many records, and the first of them as pictures."""

    title: str
    path: str
    shown: int = 48

    def json(self) -> Json:
        from caffe.data.sources.database import open_database

        database = open_database(self.path)
        try:
            records = []
            for key, value in database.items():
                records.append(self._record(key, value))
                if len(records) == self.shown:
                    break
            return {"kind": "data", "title": self.title, "count": len(database), "records": records}
        finally:
            database.close()

    @staticmethod
    def _record(key: bytes, value: bytes) -> Json:
        import cv2
        import numpy as np

        from caffe.formats import datum, images
        from caffe.web import photo

        described: Json = {"key": key.decode("utf-8", "replace")}
        try:
            record = datum.parse(value)
            described["label"] = record.labels.tolist()[:10]
            if record.encoded:
                pixels = images.decoded(record.data, cv2.IMREAD_COLOR)
                image = None if pixels is None else pixels[..., ::-1] / 255.0
                shape = None if pixels is None else [pixels.shape[2], *pixels.shape[:2]]
            else:
                raw = record.pixels().astype(np.float32)
                shape = list(raw.shape)
                raw = raw[2::-1] if raw.shape[0] == 3 else raw[:1].repeat(3, 0)
                low, high = (0, 255) if len(record.data) else (raw.min(), raw.max() or 1)
                image = (raw.transpose(1, 2, 0) - low) / max(high - low, 1e-9)
            described |= {"shape": shape, "picture": None if image is None else photo.jpeg(image, 96)}
        except CaffeError as error:
            described["error"] = str(error)
        return described


def collect(paths: Sequence[str], options: Options, weights: str = "") -> list[Document]:
    """The documents of files and folders. Weights behind a net are its own.

    Raises MissingFileError, ParseError, and what reading raises.
    """
    documents: list[Document] = []
    places: list[Path] = []
    for given in paths:
        path = Path(given)
        if not path.exists():
            raise MissingFileError("does not exist", file=given)
        last = documents[-1] if documents else None
        if path.suffix in WEIGHTS and isinstance(last, NetDocument) and not last.weights_file:
            last.weights_file = given
            _ = last.weights  # a file that cannot be read is said at once
            continue
        documents += (
            _of_model_folder(path, options)
            if model_folder.is_model_folder(path)
            else [_document(path, options)]
        )
        places += [path.resolve()] * (len(documents) - len(places))
    if weights:
        nets = [d for d in documents if isinstance(d, NetDocument)]
        if not nets:
            raise InputError("--weights belongs to a net, and none was given")
        nets[0].weights_file = weights
        _ = nets[0].weights
    if options.image and not any(isinstance(d, NetDocument) and d.weights_file for d in documents):
        raise InputError("An image needs a net with its weights", fix="Give the .caffemodel behind the net")
    _tell_apart(documents, places)
    return documents


def _tell_apart(documents: Sequence[Document], places: Sequence[Path]) -> None:
    """Give documents of one title the name of their folder too, or of their weights."""
    titles = [d.title for d in documents]
    weights = [Path(getattr(d, "weights_file", "") or place) for d, place in zip(documents, places)]
    ways = (
        [f"{place.parent.name}/{title}" for place, title in zip(places, titles)],
        [f"{title} + {file.name}" for title, file in zip(titles, weights)],
        [f"{title} + {file.parent.name}/{file.name}" for title, file in zip(titles, weights)],
        [f"{title} ({i + 1})" for i, title in enumerate(titles)],
    )
    for i, document in enumerate(documents):
        same = [k for k, title in enumerate(titles) if title == titles[i]]
        if len(same) > 1:
            document.title = next(way[i] for way in ways if len({way[k] for k in same}) == len(same))


def _of_model_folder(path: Path, options: Options) -> list[Document]:
    """Its net with the weights, and its training where it holds one."""
    folder = model_folder.read(path)
    options = Options(**(vars(options) | {"labels": options.labels or folder.labels}))
    net = NetDocument(path.resolve().name, prototxt.read_text(folder.deploy), options)
    net.weights_file = str(folder.weights)
    _ = net.weights
    found: list[Document] = [net]
    with suppress(MissingFileError, DataError):
        found.append(_document_of_runs(folder.folder))
    return found


def _document_of_runs(path: Path) -> Document:
    from caffe.web import runs

    return runs.RunsDocument.of_paths([str(path)])


def _document(path: Path, options: Options) -> Document:
    from caffe.web import runs

    if path.is_dir():
        if (path / "data.mdb").exists() or (path / "CURRENT").exists():
            return DataDocument(path.name, str(path))
        return _document_of_runs(path)
    if path.suffix in WEIGHTS:
        return _weights_alone(path, options)
    if path.suffix == ".jsonl" or runs.looks_like_log(path):
        return _document_of_runs(path)
    text = prototxt.read_text(path)
    if _SOLVER.search(text) and not _LAYER.search(text):
        return _of_solver(path, text, options)
    return NetDocument(path.name, text, options)


def _of_solver(path: Path, text: str, options: Options) -> NetDocument:
    param = prototxt.parse_solver(text, file=str(path))
    name = param.net or param.train_net
    note = text
    if not name:
        if not (param.HasField("net_param") or param.HasField("train_net_param")):
            raise ParseError("The solver names no net", file=str(path), field="net")
        definition = param.net_param if param.HasField("net_param") else param.train_net_param
        return NetDocument(path.name, str(definition), options, note=note)
    for place in (Path(name), path.parent / name, path.parent / Path(name).name):
        if place.is_file():
            options = Options(**(vars(options) | {"phase": caffe_pb2.TRAIN}))
            return NetDocument(f"{path.name}: {place.name}", prototxt.read_text(place), options, note=note)
    raise MissingFileError(f"The solver's net '{name}' does not exist", file=str(path), field="net")


def _weights_alone(path: Path, options: Options) -> Document:
    from caffe.formats import binaryproto
    from caffe.net.weights import is_hdf5
    from caffe.web import values

    if is_hdf5(path):
        return ArraysDocument(path.name, _hdf5_arrays(path))
    try:
        net = binaryproto.read_net(path)
        for layer in [*net.layer, *net.layers]:
            layer.ClearField("blobs")
    except CaffeError:  # another fork's, of which only the weights can be read
        return ArraysDocument(path.name, values.read_weights(path))
    if not net.layer and not net.layers:
        return ArraysDocument(path.name, values.read_weights(path))
    return NetDocument(
        path.name, str(net), options, str(path), net, "The definition that is in the weights file"
    )


def _hdf5_arrays(path: Path) -> dict[str, list[Any]]:
    import h5py

    arrays: dict[str, list[Any]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" and len(arrays) < 500:
            arrays[name] = [item[:64] if item.size > 1 << 24 else item[()]]

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return arrays
