"""Parameters in and out of a net: caffemodels, HDF5 files, other nets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from caffe import logs
from caffe.blob import Blob, Shape
from caffe.errors import CaffeError, InputTypeError, WeightsError
from caffe.formats import binaryproto, files, hdf5
from caffe.net.contents import Contents
from caffe.proto import caffe_pb2

PathLike = str | os.PathLike[str]


@dataclass
class Report:
    """What a copy did: layers filled, layers of the file the net has not, layers of the net the file has not."""

    filled: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{len(self.filled)} layers filled"
        if self.ignored:
            text += f"; not in this net: {', '.join(self.ignored)}"
        if self.kept:
            text += f"; not in the file, left as they were: {', '.join(self.kept)}"
        return text


def is_hdf5(path: PathLike) -> bool:
    """Whether the file's first bytes are HDF5's. Raises MissingFileError, FileAccessError."""
    handle = files.opened(path)
    with open(handle, "rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


@runtime_checkable
class HoldsWeights(Protocol):
    """A module of ``net.to_torch()``."""

    def caffe_weights(self) -> list[tuple[str, list[npt.NDArray[np.float32]]]]:
        """The layers' parameters, by name."""


def copy_from(net: Contents, path: PathLike | HoldsWeights) -> Report:
    """Copy parameters from a .caffemodel or HDF5 file, or a module of ``net.to_torch()``, by layer name; see
    :meth:`Net.copy_from`.
    """
    if isinstance(path, HoldsWeights):
        return _copy(net, path.caffe_weights(), type(path).__name__)
    _check_path(path, "copy_from")
    if is_hdf5(path):
        return load_hdf5(net, path)
    source = binaryproto.read_weights(path)
    return _copy(net, [(layer.name, layer.blobs) for layer in source.layers], path)


def load_hdf5(net: Contents, path: PathLike) -> Report:
    """Copy parameters from a file in the original's HDF5 layout, by layer name."""
    _check_path(path, "load_hdf5")
    shared = _shared(net)
    counts = {s.name: len(s.layer.blobs) for s in net.steps}
    source = []
    for name, arrays in hdf5.read_weights(path, [name for name, count in counts.items() if count]):
        # A parameter that another layer owns is in the file once, with its owner.
        missing = [i for i in range(counts.get(name, 0)) if i >= len(arrays) or arrays[i] is None]
        if missing and all((name, i) in shared for i in missing):
            arrays = [None if i in missing else arrays[i] for i in range(counts[name])]
        else:
            arrays = [a for a in arrays if a is not None]
        source.append((name, arrays))
    return _copy(net, source, path)


def _copy(
    net: Contents, source: Sequence[tuple[str, Sequence[npt.NDArray[Any] | None]]], path: PathLike
) -> Report:
    report = Report()
    fitting: list[tuple[Blob, npt.NDArray[Any], bool]] = []
    targets = {s.name: s for s in net.steps}
    for name, arrays in source:
        step = targets.get(name)
        if step is None:
            logs.verbose(f"Ignoring source layer {name}")
            if arrays:
                report.ignored.append(name)
            continue
        blobs = step.layer.blobs
        place: dict[str, Any] = {"file": path, "layer": name, "type": step.layer.type}
        theirs = {id(a) for a in arrays}  # what a layer changes is a view, of memory that is not its own
        try:
            arrays = step.layer.adapt_weights(arrays)
        except CaffeError as error:
            raise error.located(**place) from None
        if len(arrays) != len(blobs):
            if not arrays:
                continue
            shapes = [list(a.shape) for a in arrays if a is not None]
            raise WeightsError(
                f"the file has {len(arrays)} parameter(s) of shapes {shapes},"
                f" the net {len(blobs)} of shapes {[list(b.shape) for b in blobs]}",
                fix="Rename the layer to let it learn afresh, or use the prototxt that the weights were trained with",
                **place,
            )
        for i, (array, blob) in enumerate(zip(arrays, blobs)):
            if array is not None and not same_shape(array.shape, blob.shape):
                raise WeightsError(
                    f"parameter {i} must have the net's shape {list(blob.shape)};"
                    f" the file's is {list(array.shape)}",
                    fix="To learn this layer from scratch rather than copy it, rename the layer;"
                    " to convert it, load both nets and assign (net surgery)",
                    **place,
                )
        for array, blob in zip(arrays, blobs):
            if array is not None:
                fitting.append((blob, array, id(array) in theirs))
        if len(blobs):
            report.filled.append(name)
    for blob, array, own in fitting:  # nothing is changed where one layer does not fit
        _fill(blob, array, own=own)
    given = {name for name, _ in source}
    report.kept = [s.name for s in net.steps if len(s.layer.blobs) and s.name not in given]
    return report


def _fill(blob: Blob, array: npt.NDArray[Any], *, own: bool) -> None:
    """Set a blob's values; an array of ``own``, which nobody else holds, may become the blob's memory."""
    values = np.asarray(array, dtype=np.float32).reshape(blob.shape)
    memory = blob.data_memory
    if not memory.allocated and not memory.freed:
        if own and values.flags.c_contiguous and values.ctypes.data % 64 == 0:
            values.flags.writeable = True
        else:
            values = np.array(values)
        memory.bind(torch.from_numpy(values))
    else:
        target = blob.data
        target[...] = values


def same_shape(a: Shape, b: Shape) -> bool:
    """Whether two shapes are the same but for leading ones, which old files pad shapes with to four axes."""
    return _stripped(a) == _stripped(b)


def _stripped(shape: Shape) -> Shape:
    start = 0
    while start < len(shape) and shape[start] == 1:
        start += 1
    return tuple(shape[start:])


def share_with(net: Contents, other: Contents) -> None:
    """Use the parameters of the other net's layers with the same names; see :meth:`Net.share_with`."""
    targets = {s.name: s for s in net.steps}
    for step in other.steps:
        target = targets.get(step.name)
        if target is None:
            continue
        mine, theirs = target.layer.blobs, step.layer.blobs
        shapes = [b.shape for b in mine], [b.shape for b in theirs]
        if shapes[0] != shapes[1]:
            raise WeightsError(
                f"cannot share parameters of different shapes: {[list(s) for s in shapes[0]]} here,"
                f" {[list(s) for s in shapes[1]]} in net '{other.name}'",
                file=net.file,
                layer=step.name,
                type=target.layer.type,
            )
        for a, b in zip(mine, theirs):
            a.share_data(b)


def save(net: Contents, path: PathLike, write_diff: bool = False) -> None:
    """Write a .caffemodel; see :meth:`Net.save`."""
    _check_path(path, "save")
    if str(path).endswith(".h5"):
        save_hdf5(net, path, write_diff)
        return
    arrays = [[_values(b) for b in s.layer.blobs] for s in net.steps]
    diffs = [[b.diff for b in s.layer.blobs] for s in net.steps] if write_diff else None
    skeleton = caffe_pb2.NetParameter(name=net.name)
    skeleton.layer.extend(s.layer.param for s in net.steps)
    binaryproto.write_weights(path, skeleton, arrays, diffs)


def save_hdf5(net: Contents, path: PathLike, write_diff: bool = False) -> None:
    """Write the parameters in the original's HDF5 layout."""
    _check_path(path, "save_hdf5")
    layers = [(s.name, [_values(b) for b in s.layer.blobs]) for s in net.steps]
    diffs = [(s.name, [b.diff for b in s.layer.blobs]) for s in net.steps] if write_diff else None
    shared = _shared(net)
    hdf5.write_weights(Path(path), layers, diffs, shared)


def _check_path(value: object, method: str) -> None:
    """Raise InputTypeError unless ``value`` can be a file's path."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputTypeError(f"{method} takes a file's path; got {value!r}")


def _shared(net: Contents) -> set[tuple[str, int]]:
    """(layer, index) of parameters that another layer owns: HDF5 files hold those once."""
    owners = {id(p.blob) for p in net.learnable}
    return {(s.name, i) for s in net.steps for i, b in enumerate(s.layer.blobs) if id(b) not in owners}


def _values(blob: Blob) -> npt.NDArray[Any]:
    """The values for reading, without counting as a view that was handed out."""
    exposed = blob.data_memory.exposed
    values = blob.data
    blob.data_memory.exposed = exposed
    return values
