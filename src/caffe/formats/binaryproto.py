"""Binary files: weights (.caffemodel), solver states, and single blobs such as means.

Read at wire level. The forks of Caffe gave the same field numbers to different things, so a whole
NetParameter of another fork cannot be parsed with one schema; but the few fields that carry weights mean the
same in all of them: LayerParameter 1 to 11, V1LayerParameter's name, type and blobs, BlobProto. All else is
skipped. Values are read straight into arrays of their own, which nets then take over without a copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy.typing as npt
from google.protobuf.message import DecodeError, Message

from caffe.errors import CaffeError, DataError, SnapshotError, WeightsError
from caffe.formats import atomic, blobproto, files, wire
from caffe.formats.wire import LENGTH, VARINT, Source, WireError
from caffe.limits import LimitError, guarding
from caffe.proto import caffe_pb2

Array = npt.NDArray[Any]


@dataclass
class LayerWeights:
    """What a weights file holds of one layer. ``blobs`` are read-only arrays that nothing else uses.

    ``type`` is a version-1 enum name for files from before 2015. ``diffs`` is empty or one a blob, with
    None where the file has no gradient.
    """

    name: str = ""
    type: str = ""
    phase: int | None = None
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    blobs: list[Array] = field(default_factory=list)
    diffs: list[Array | None] = field(default_factory=list)


@dataclass
class WeightsFile:
    """The layers of a weights file, in order, those without blobs included."""

    file: str
    name: str = ""
    layers: list[LayerWeights] = field(default_factory=list)


@dataclass
class SolverState:
    """What a solver needs, beside the weights, to go on."""

    iter: int = 0
    learned_net: str = ""
    current_step: int = 0
    history: list[Array] = field(default_factory=list)


def read_weights(path: str | os.PathLike[str]) -> WeightsFile:
    """The weights in a .caffemodel of any version and any fork.

    Raises MissingFileError, FileAccessError, or WeightsError saying the layer and the byte.
    """
    weights = WeightsFile(os.fspath(path))
    with _message(path, WeightsError, weights.layers) as data:
        for number, kind, _, first, last in wire.fields(data, 0, len(data)):
            if number in (2, 100) and kind == LENGTH:
                data.budget.spend(_LAYER_WORK)
                weights.layers.append(layer := LayerWeights())
                (_read_layer if number == 100 else _read_v1_layer)(data, first, last, layer)
            elif number == 1 and kind == LENGTH:
                weights.name = _text(data, first, last)
    return weights


def read_blob(path: str | os.PathLike[str]) -> Array:
    """The values in a file of one BlobProto, such as a mean; a view of the file.

    Raises MissingFileError, FileAccessError or DataError.
    """
    with _message(path, DataError) as data:
        return blobproto.read(data, 0, len(data))[0]


def read_solver_state(path: str | os.PathLike[str]) -> SolverState:
    """The state in a .solverstate. Raises MissingFileError, FileAccessError or SnapshotError."""
    state = SolverState()
    with _message(path, SnapshotError) as data:
        for number, kind, value, first, last in wire.fields(data, 0, len(data)):
            if number == 1 and kind == VARINT:
                state.iter = _iteration(value, first)
            elif number == 2 and kind == LENGTH:
                state.learned_net = _text(data, first, last)
            elif number == 3 and kind == LENGTH:
                state.history.append(blobproto.read(data, first, last)[0])
            elif number == 4 and kind == VARINT:
                state.current_step = _iteration(value, first)
    return state


def _iteration(value: int, at: int) -> int:
    if value >> 31:
        raise WireError(f"must count from 0 to {2**31 - 1}; got {wire.signed(value)}", at)
    return value


def read_net(path: str | os.PathLike[str]) -> caffe_pb2.NetParameter:
    """The whole message of a .caffemodel that was written with BVLC's schema, as protobuf parses it.

    For weights of any fork see :func:`read_weights`. Raises MissingFileError, FileAccessError, WeightsError.
    """
    data = files.read_bytes(path, kind=WeightsError)
    try:
        return caffe_pb2.NetParameter.FromString(data)
    except DecodeError as error:
        read_weights(path)  # says better what is wrong, if the file is damaged
        raise WeightsError(
            "must be a NetParameter of BVLC's schema; got one of another fork", file=os.fspath(path)
        ) from error


def write(path: str | os.PathLike[str], message: Message) -> None:
    """Write a message of any type, whole or not at all. Raises FileAccessError."""
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(message.SerializePartialToString())


def write_weights(
    path: str | os.PathLike[str],
    net: caffe_pb2.NetParameter,
    blobs: Sequence[Sequence[Array]],
    diffs: Sequence[Sequence[Array]] | None = None,
    encode: Callable[[Message], bytes] = lambda message: message.SerializePartialToString(),
) -> None:
    """Write a .caffemodel: ``net`` without blobs, and the arrays of each of its layers.

    The bytes are those that protobuf would write for the whole message; ``encode`` is what else writes the
    messages, with fields in order. float64 arrays go into ``double_data``, all others into ``data`` as
    float32. Raises FileAccessError; WeightsError if the number
    of layers does not agree.
    """
    if len(blobs) != len(net.layer):
        raise WeightsError(f"blobs must be given for {len(net.layer)} layers; got {len(blobs)}")
    header = caffe_pb2.NetParameter()
    header.CopyFrom(net)
    del header.layer[:]
    before, behind = _split_at(encode(header), 100)
    with atomic.replacing(path) as temporary, open(temporary, "wb") as out:
        out.write(before)
        for i, layer in enumerate(net.layer):
            skeleton = layer
            if layer.blobs:
                skeleton = caffe_pb2.LayerParameter()
                skeleton.CopyFrom(layer)
                del skeleton.blobs[:]
            first, rest = _split_at(encode(skeleton), 7)
            gradients: Sequence[Array | None] = diffs[i] if diffs is not None else [None] * len(blobs[i])
            parts = [blobproto.parts(b, d) for b, d in zip(blobs[i], gradients)]
            nested = [_as_field(7, part) for part in parts]
            _write_parts(out, _as_field(100, [first, *(p for n in nested for p in n), rest]))
        out.write(behind)


def write_blob(path: str | os.PathLike[str], values: Array) -> None:
    """Write a file of one BlobProto, such as a mean. Raises FileAccessError."""
    with atomic.replacing(path) as temporary, open(temporary, "wb") as out:
        _write_parts(out, blobproto.parts(values))


def write_solver_state(
    path: str | os.PathLike[str], iter: int, learned_net: str, current_step: int, history: Iterable[Array]
) -> None:
    """Write a .solverstate. Raises FileAccessError."""
    header = caffe_pb2.SolverState(iter=iter, learned_net=learned_net)
    footer = caffe_pb2.SolverState(current_step=current_step)
    with atomic.replacing(path) as temporary, open(temporary, "wb") as out:
        out.write(header.SerializeToString())
        for values in history:
            _write_parts(out, _as_field(3, blobproto.parts(values)))
        out.write(footer.SerializeToString())


_LAYER_WORK = 8
"""How many fields' time, and memory, a layer takes."""
_LONGEST_NAME = 1 << 16


@contextmanager
def _message(
    path: str | os.PathLike[str], kind: type[CaffeError], layers: Sequence[LayerWeights] = ()
) -> Iterator[Source]:
    """The bytes of a file, for reading; what goes wrong is an error of ``kind``, with the last of the layers."""
    with guarding(kind, path), files.FileSource(path, kind) as data:
        if not len(data):
            raise kind("must hold a message; got an empty file", file=path)
        if data.slice(0, min(8, len(data))) == b"\x89HDF\r\n\x1a\n":
            raise kind("must be a binary protobuf; got HDF5", file=path, fix="Let its name end in .h5.")
        try:
            yield data
        except (WireError, LimitError) as error:
            raise _broken(error, path, kind, layers[-1] if layers else None) from error


def _broken(
    error: WireError | LimitError,
    path: str | os.PathLike[str],
    kind: type[CaffeError],
    layer: LayerWeights | None,
) -> CaffeError:
    where = f"byte {error.offset}: " if isinstance(error, WireError) else ""
    return kind(
        f"{where}{error}",
        file=path,
        layer=(layer.name or None) if layer else None,
        type=(layer.type or None) if layer else None,
        fix="The file is damaged, cut short, or not what its name says: get it again.",
    )


def _text(data: Source, first: int, last: int) -> str:
    if last - first > _LONGEST_NAME:
        raise WireError(f"must be a name of at most {_LONGEST_NAME} bytes; got {last - first}", first)
    return data.slice(first, last).decode("utf-8", "replace")


def _read_layer(data: Source, start: int, end: int, layer: LayerWeights) -> None:
    """LayerParameter, version 2."""
    for number, kind, value, first, last in wire.fields(data, start, end):
        if kind == VARINT:
            if number == 10:
                layer.phase = value
        elif kind == LENGTH:
            if number == 7:
                _add_blob(data, first, last, layer)
            elif number == 1:
                layer.name = _text(data, first, last)
            elif number == 2:
                layer.type = _text(data, first, last)
            elif number == 3:
                layer.bottoms.append(_text(data, first, last))
            elif number == 4:
                layer.tops.append(_text(data, first, last))


def _read_v1_layer(data: Source, start: int, end: int, layer: LayerWeights) -> None:
    """V1LayerParameter, or the V0LayerParameter within it."""
    for number, kind, value, first, last in wire.fields(data, start, end):
        if number == 5 and kind == VARINT:
            known = caffe_pb2.V1LayerParameter.LayerType.DESCRIPTOR.values_by_number.get(value)
            layer.type = known.name if known else str(value)
        elif kind == LENGTH:
            if number == 6:
                _add_blob(data, first, last, layer)
            elif number == 4:
                layer.name = _text(data, first, last)
            elif number == 2:
                layer.bottoms.append(_text(data, first, last))
            elif number == 3:
                layer.tops.append(_text(data, first, last))
            elif number == 1:
                _read_v0_layer(data, first, last, layer)


def _read_v0_layer(data: Source, start: int, end: int, layer: LayerWeights) -> None:
    for number, kind, _, first, last in wire.fields(data, start, end):
        if kind == LENGTH:
            if number == 50:
                _add_blob(data, first, last, layer)
            elif number == 1:
                layer.name = _text(data, first, last)
            elif number == 2:
                layer.type = _text(data, first, last)


def _add_blob(data: Source, first: int, last: int, layer: LayerWeights) -> None:
    try:
        values, diff = blobproto.read(data, first, last)
    except (WireError, LimitError) as error:
        raise WireError(f"blob {len(layer.blobs)} {error}", getattr(error, "offset", first)) from error
    layer.blobs.append(values)
    layer.diffs.append(diff)


def _as_field(number: int, parts: Sequence[blobproto.Part]) -> list[blobproto.Part]:
    size = sum(len(part) for part in parts)
    return [wire.tag(number, LENGTH), wire.encode_varint(size), *parts]


def _write_parts(out: BinaryIO, parts: Iterable[blobproto.Part]) -> None:
    for part in parts:
        out.write(part)


def _split_at(message: bytes, number: int) -> tuple[bytes, bytes]:
    """A serialized message before and from where a field of that number would stand."""
    before = 0
    for at, _, _, _, last in wire.fields(Source(message), 0, len(message)):
        if at > number:
            break
        before = last
    return message[:before], message[before:]
