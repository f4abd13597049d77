"""Weights and solver states in HDF5, in the original's layout.

A weights file has a group ``data`` (and ``diff``, where gradients were saved) with a group for each layer,
whose datasets ``0``, ``1`` … are the layer's blobs. A blob that another layer owns is left out of ``data``.
A layer whose name has slashes stands in groups within groups; the original could not write those.

A solver state has datasets ``iter``, ``learned_net``, ``current_step`` and a group ``history``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from caffe.errors import CaffeError, FileAccessError, MissingFileError, SnapshotError, WeightsError
from caffe.formats import atomic
from caffe.formats.binaryproto import SolverState

if TYPE_CHECKING:
    import h5py

Array = npt.NDArray[Any]
Layers = Sequence[tuple[str, Sequence[Array]]]


def read_weights(path: str | os.PathLike[str]) -> list[tuple[str, list[Array | None]]]:
    """Name and blobs of every layer in a file of weights.

    Blobs that are not in the file, because another layer owns them, are None, or left out at the end. Raises
    MissingFileError, FileAccessError or WeightsError.
    """
    with _opened(path, WeightsError) as file:
        if "data" not in file:
            raise WeightsError(
                f"must have a group 'data' with the layers; got {', '.join(file) or 'nothing'}",
                file=os.fspath(path),
                fix="Is it a solver state, or data for training?",
            )
        return [(name, _blobs(group)) for name, group in _layers(file["data"], "")]


def write_weights(
    path: str | os.PathLike[str],
    layers: Layers,
    diffs: Layers | None = None,
    shared: Collection[tuple[str, int]] = (),
) -> None:
    """Write a file of weights, and of gradients if ``diffs`` are given; ``layers`` are names and blobs.

    ``shared`` holds the name of the layer and the index of each blob that another layer owns: those are
    written once, there. Raises FileAccessError.
    """
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


def read_solver_state(path: str | os.PathLike[str]) -> SolverState:
    """The state in a .solverstate.h5. Raises MissingFileError, FileAccessError or SnapshotError."""
    with _opened(path, SnapshotError) as file:
        missing = [name for name in ("iter", "history") if name not in file]
        if missing:
            raise SnapshotError(
                f"must have 'iter' and 'history'; got {', '.join(file) or 'nothing'}",
                file=os.fspath(path),
                fix="Is it a file of weights?" if "data" in file else None,
            )
        history = file["history"]
        learned_net = file["learned_net"][()] if "learned_net" in file else b""
        return SolverState(
            iter=_integer(file["iter"]),
            learned_net=learned_net.decode() if isinstance(learned_net, bytes) else str(learned_net),
            current_step=_integer(file["current_step"]) if "current_step" in file else 0,
            history=[history[key][()] for key in _blob_keys(history)],
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


def _layers(group: h5py.Group, prefix: str) -> Iterator[tuple[str, h5py.Group]]:
    """Every group that is a layer: one that holds blobs, or nothing at all."""
    import h5py

    for key in group:
        inner = group[key]
        if isinstance(inner, h5py.Group):
            if _blob_keys(inner) or not len(inner):
                yield prefix + key, inner
            yield from _layers(inner, f"{prefix}{key}/")


def _blobs(group: h5py.Group) -> list[Array | None]:
    keys = _blob_keys(group)
    count = int(keys[-1]) + 1 if keys else 0
    return [group[str(i)][()] if str(i) in keys else None for i in range(count)]


def _blob_keys(group: h5py.Group) -> list[str]:
    import h5py

    return sorted((k for k in group if k.isdigit() and isinstance(group[k], h5py.Dataset)), key=int)


def _integer(dataset: h5py.Dataset) -> int:
    return int(np.asarray(dataset[()]).reshape(-1)[0])


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

    path = os.fspath(path)
    if not os.path.exists(path):
        raise MissingFileError("does not exist", file=path)
    if os.path.isdir(path) or not os.access(path, os.R_OK):
        raise FileAccessError("cannot be read", file=path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except CaffeError:
        raise
    except (OSError, KeyError, RuntimeError) as error:
        raise kind(
            f"must be a whole HDF5 file; got: {error}",
            file=path,
            fix="The file is damaged, cut short, or not what its name says: get it again.",
        ) from error


@contextlib.contextmanager
def _created(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """A new HDF5 file, which takes its place when it is whole."""
    import h5py

    with atomic.replacing(path) as temporary, h5py.File(temporary, "w") as file:
        yield file
