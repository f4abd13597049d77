"""Weights and solver states in HDF5, in the original's layout.

A weights file has a group ``data`` (and ``diff``, where gradients were saved) with a group for each layer,
whose datasets ``0``, ``1`` … are the layer's blobs. A blob that another layer owns is left out of ``data``.
A layer whose name has slashes stands in groups within groups; the original could not write those.

A solver state has datasets ``iter``, ``learned_net``, ``current_step`` and a group ``history``.

What a stranger's file may do is checked first: links to other files, values that lie in other files and virtual
datasets are refused (``CAFFE_HDF5_EXTERNAL=1`` allows them), as are groups within themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from caffe import limits
from caffe.errors import CaffeError, SnapshotError, WeightsError
from caffe.formats import atomic, files
from caffe.formats.binaryproto import SolverState

if TYPE_CHECKING:
    import h5py

Array = npt.NDArray[Any]
Layers = Sequence[tuple[str, Sequence[Array]]]


def read_weights(
    path: str | os.PathLike[str], wanted: Collection[str] = ()
) -> list[tuple[str, list[Array | None]]]:
    """Name and blobs of every layer in a file of weights.

    Blobs that are not in the file, because another layer owns them, are None, or left out at the end. Raises
    MissingFileError, FileAccessError or WeightsError; this too where a layer that is ``wanted`` has a group, but
    no blobs in it.
    """
    with _opened(path, WeightsError) as file:
        if "data" not in file:
            raise WeightsError(
                f"must have a group 'data' with the layers; got {_listed(file)}",
                file=os.fspath(path),
                fix="Is it a solver state, or data for training?",
            )
        reading = _Reading(path, WeightsError)
        data = reading.group(file, "data")
        layers = [(name, reading.blobs(group)) for name, group in reading.layers(data)]
        reading.refuse_others(wanted, [name for name, _ in layers])
        return layers


def write_weights(
    path: str | os.PathLike[str],
    layers: Layers,
    diffs: Layers | None = None,
    shared: Collection[tuple[str, int]] = (),
) -> None:
    """Write a file of weights, and of gradients if ``diffs`` are given; ``layers`` are names and blobs.

    ``shared`` holds the name of the layer and the index of each blob that another layer owns: those are
    written once, there. Raises FileAccessError, and WeightsError for names that HDF5 cannot hold.
    """
    check_names((name, len(blobs)) for name, blobs in layers)
    with _created(path) as file:
        data = file.create_group("data")
        for name, blobs in layers:
            group = data.require_group(name)
            for i, values in enumerate(blobs):
                if (name, i) not in shared:
                    group.create_dataset(str(i), data=values)
        if diffs is not None:
            data = file.create_group("diff")
            for name, blobs in diffs:
                group = data.require_group(name)
                for i, values in enumerate(blobs):
                    group.create_dataset(str(i), data=values)


def check_names(layers: Iterable[tuple[str, int]]) -> None:
    """Raise WeightsError where layers, by name and number of blobs, cannot stand in one HDF5 file.

    Names with slashes are groups within groups there, so that 'a/0' cannot be a layer beside one 'a' with a blob.
    """
    counts = {name: count for name, count in layers if count}
    for name in counts:
        parts = name.split("/")
        fault = "'/' at its ends or twice, '.' or a zero byte" if {"", "."} & {*parts} or "\0" in name else ""
        for i in range(1, len(parts)):
            outer = "/".join(parts[:i])
            if parts[i].isdigit() and str(int(parts[i])) == parts[i] and int(parts[i]) < counts.get(outer, 0):
                fault = f"the place of a blob of layer '{outer}'"
        if fault:
            raise WeightsError(
                f"This layer's name cannot stand in an HDF5 file: it has {fault}",
                layer=name[:200],
                fix="Save as .caffemodel (snapshot_format: BINARYPROTO), or rename the layer",
            )


def read_solver_state(path: str | os.PathLike[str]) -> SolverState:
    """The state in a .solverstate.h5. Raises MissingFileError, FileAccessError or SnapshotError."""
    with _opened(path, SnapshotError) as file:
        missing = [name for name in ("iter", "history") if name not in file]
        if missing:
            raise SnapshotError(
                f"must have 'iter' and 'history'; got {_listed(file)}",
                file=os.fspath(path),
                fix="Is it a file of weights?" if "data" in file else None,
            )
        reading = _Reading(path, SnapshotError)
        return SolverState(
            iter=reading.integer(file, "iter"),
            learned_net=reading.text(file, "learned_net") if "learned_net" in file else "",
            current_step=reading.integer(file, "current_step") if "current_step" in file else 0,
            history=[a for a in reading.blobs(reading.group(file, "history")) if a is not None],
        )


def write_solver_state(
    path: str | os.PathLike[str], iter: int, learned_net: str, current_step: int, history: Iterable[Array]
) -> None:
    """Write a .solverstate.h5. Raises FileAccessError."""
    with _created(path) as file:
        file.create_dataset("iter", data=np.array([iter], np.int32))
        _write_string(file, "learned_net", learned_net)
        file.create_dataset("current_step", data=np.array([current_step], np.int32))
        group = file.create_group("history")
        for i, values in enumerate(history):
            group.create_dataset(str(i), data=values)


_MOST_BLOBS = 10_000
"""Of one layer, or of a solver's history."""


def _listed(file: h5py.File) -> str:
    names = [name for name, _ in zip(file, range(20))]
    return ", ".join(n[:100] for n in names) or "nothing"


def external(dataset: h5py.Dataset) -> str:
    """Where the values of a dataset lie, if they are in other files; else an empty string."""
    if dataset.external:
        return f"the file {dataset.external[0][0]!r}"
    return f"the file {dataset.virtual_sources()[0].file_name!r}" if dataset.is_virtual else ""


def links_outside(group: h5py.Group, name: str) -> str:
    """The other file that an entry, or a link within its path, leads to; else an empty string."""
    import h5py

    for _ in range(limits.DEEPEST):
        first, _, rest = name.strip("/").partition("/")
        link = group.get(first, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            return str(link.filename)
        if isinstance(link, h5py.SoftLink):
            group, name = group.file if link.path.startswith("/") else group, f"{link.path}/{rest}"
        elif rest:
            inner = group.get(first)
            if not isinstance(inner, h5py.Group):
                return ""
            group, name = inner, rest
        else:
            return ""
    raise limits.LimitError(f"must have links that end; got '{name[:100]}'")


def allows_external() -> bool:
    """Whether the user lets HDF5 files lead to other files."""
    return os.environ.get("CAFFE_HDF5_EXTERNAL", "") not in ("", "0")


class _Reading:
    """Goes through one file, and takes nothing from it that was not looked at."""

    def __init__(self, path: str | os.PathLike[str], kind: type[CaffeError]) -> None:
        self._path = os.fspath(path)
        self._kind = kind
        self._budget = limits.Budget()
        self._seen: set[int] = set()
        self._bytes = 0
        self._others: dict[str, list[str]] = {}

    def refuse_others(self, wanted: Collection[str], layers: Iterable[str]) -> None:
        """Raise where a wanted layer's group holds something, but neither blobs nor layers whose names go on."""
        outer = {
            name[: i + 1] for name in layers if name in wanted for i, c in enumerate(name[1:]) if c == "/"
        }
        for name, found in self._others.items():
            if name in wanted and name not in outer:
                raise self._error(
                    f"must have blobs '0', '1' … in the group of layer '{name[:200]}'; got"
                    f" {', '.join(f[:50] for f in found)}"
                )

    def layers(self, data: h5py.Group) -> Iterator[tuple[str, h5py.Group]]:
        """Every group that is a layer: one that holds blobs, or nothing at all."""
        waiting = [("", data, 0)]
        while waiting:
            prefix, group, depth = waiting.pop()
            names = list(group)
            if prefix and (self._blob_keys(group) or not names):
                yield prefix, group
            elif prefix:
                self._others[prefix] = names[:5]
            inner = []
            for name in names:
                self._budget.spend(100)
                if self._is_group(group, name):
                    path = f"{prefix}/{name}" if prefix else name
                    inner.append((path, self.group(group, name), self._budget.deeper(depth)))
            waiting += reversed(inner)

    def group(self, parent: h5py.Group, name: str) -> h5py.Group:
        """A group within another, which is not met a second time."""
        import h5py

        child = self._entry(parent, name)
        if not isinstance(child, h5py.Group):
            raise self._error(f"must have a group '{name[:100]}'; got a dataset")
        address = int(h5py.h5o.get_info(child.id).addr)
        if address in self._seen:
            raise self._error(
                f"must have every group once; got '{child.name[:100]}' again, within itself or another"
            )
        self._seen.add(address)
        return child

    def _is_group(self, parent: h5py.Group, name: str) -> bool:
        import h5py

        kind = parent.get(name, getclass=True, default=None) if self._inside(parent, name) else None
        return kind is h5py.Group

    def _inside(self, parent: h5py.Group, name: str) -> bool:
        """True; raises where an entry leads to another file."""
        outside = links_outside(parent, name)
        if outside and not allows_external():
            raise self._outside(name, f"the file {outside!r}")
        return True

    def _entry(self, parent: h5py.Group, name: str) -> Any:
        self._inside(parent, name)
        return parent[name]

    def blobs(self, group: h5py.Group) -> list[Array | None]:
        """The datasets 0, 1, … of a group; None for those that are missing."""
        keys = self._blob_keys(group)
        arrays: list[Array | None] = [None] * (keys[-1] + 1 if keys else 0)
        for key in keys:
            arrays[key] = self._numbers(group, str(key))
        return arrays

    def _blob_keys(self, group: h5py.Group) -> list[int]:
        import h5py

        keys = []
        for name in group:
            if not re.fullmatch(r"0|[1-9][0-9]*", name, re.ASCII):
                continue
            self._inside(group, name)
            if group.get(name, getclass=True) is h5py.Dataset:
                if len(name) > 5 or int(name) >= _MOST_BLOBS:
                    raise self._error(
                        f"must have blobs by number, at most {_MOST_BLOBS}; got '{name[:50]}' in '{group.name[:100]}'"
                    )
                keys.append(int(name))
        return sorted(keys)

    def _numbers(self, group: h5py.Group, name: str) -> Array:
        """The values of a dataset of numbers."""
        dataset = self._dataset(group, name)
        if dataset.shape is None or dataset.dtype.kind not in "fiub":
            raise self._error(
                f"must hold numbers in '{dataset.name[:100]}'; got {str(dataset.dtype)[:100]}"
                + (" and no values" if dataset.shape is None else "")
            )
        limits.shape(dataset.shape)
        self._bytes += dataset.size * max(dataset.dtype.itemsize, 4)
        limits.check_memory(self._bytes, f"'{dataset.name[:100]}' and what is before it")
        return np.asarray(dataset[()])

    def _dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        import h5py

        dataset = self._entry(group, name)
        if not isinstance(dataset, h5py.Dataset):
            raise self._error(f"must have a dataset '{name[:100]}'; got a group")
        elsewhere = external(dataset)
        if elsewhere and not allows_external():
            raise self._outside(name, elsewhere)
        return dataset

    def integer(self, group: h5py.Group, name: str) -> int:
        """The first value of a dataset: a count."""
        values = self._numbers(group, name).reshape(-1)
        if not values.size or values.dtype.kind not in "iu" or not 0 <= int(values[0]) < 1 << 31:
            raise self._error(
                f"must have a number from 0 to {2**31 - 1} in '{name}'; got {values[:3].tolist()}"
            )
        return int(values[0])

    def text(self, group: h5py.Group, name: str) -> str:
        """A dataset that is one string."""
        dataset = self._dataset(group, name)
        if dataset.dtype.kind not in "SO" or dataset.size != 1 or dataset.dtype.itemsize > 1 << 16:
            raise self._error(f"must have one string in '{name}'; got {str(dataset.dtype)[:100]}")
        value = np.asarray(dataset[()]).reshape(-1)[0]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def _error(self, message: str) -> CaffeError:
        return self._kind(message, file=self._path, fix="The file is damaged, or not what its name says.")

    def _outside(self, name: str, where: str) -> CaffeError:
        return self._kind(
            f"must hold its values itself; '{name[:100]}' leads to {where[:300]}",
            file=self._path,
            fix="If you trust the file, set CAFFE_HDF5_EXTERNAL=1.",
        )


def _write_string(file: h5py.File, name: str, text: str) -> None:
    """A string that ends in a zero byte, as the original's HDF5 library writes and wants them."""
    from h5py import h5d, h5s, h5t

    content = text.encode()
    kind = h5t.C_S1.copy()
    kind.set_size(len(content) + 1)
    kind.set_strpad(h5t.STR_NULLTERM)
    dataset = h5d.create(file.id, name.encode(), kind, h5s.create(h5s.SCALAR))
    dataset.write(h5s.ALL, h5s.ALL, np.array(content, f"S{len(content) + 1}"), mtype=kind)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], kind: type[CaffeError]) -> Iterator[h5py.File]:
    """An HDF5 file for reading, whose failures are errors of this package."""
    import h5py

    os.close(files.opened(path, kind))
    try:
        with h5py.File(os.fspath(path), "r") as file:
            yield file
    except CaffeError:
        raise
    except Exception as error:
        raise kind(
            f"must be a whole HDF5 file; got: {str(error)[:500]}",
            file=path,
            fix="The file is damaged, cut short, or not what its name says: get it again.",
        ) from error


@contextlib.contextmanager
def _created(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """A new HDF5 file, which takes its place when it is whole.

    It is made in memory: the HDF5 library ends the process where a disk is full.
    """
    import h5py

    with atomic.replacing(path) as temporary:
        with h5py.File(temporary, "w", driver="core", backing_store=False) as file:
            yield file
            file.flush()
            image = file.id.get_file_image()
        temporary.write_bytes(image)
