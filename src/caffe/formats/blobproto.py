"""BlobProto, the message of an array, at wire level: no copies, and whatever way its values are held.

float32 (``data``) or float64 (``double_data``), packed or not; NVIDIA's ``raw_data``; a shape, or the four
sizes of files from before 2015.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import limits
from caffe.formats import wire
from caffe.formats.wire import LENGTH, VARINT, Source, WireError
from caffe.proto import caffe_pb2

Array = npt.NDArray[Any]
Part = bytes | memoryview


_PIECE_WORK = 16
"""How many fields' time a run of values takes that stands by itself."""
_FIRST_RUN = 1 << 10
"""How many values of a run are looked at together at first; each next look is at four times as many."""


def read(data: Source, start: int, end: int) -> tuple[Array, Array | None]:
    """Data and diff (or None) of the BlobProto from ``start`` to ``end``. Raises WireError, LimitError."""
    shape: list[int] | None = None
    old: dict[int, int] = {}
    raw: dict[int, tuple[int, int]] = {}
    raw_types = {12: 1, 13: 1}
    pieces: dict[int, list[Array]] = {}
    at = start
    while at < end:
        for number, kind, value, first, last in wire.fields(data, at, end):
            at = last
            if number in (5, 6, 8, 9):
                dtype = "<f4" if number < 7 else "<f8"
                if kind == LENGTH:
                    if (last - first) % int(dtype[2]):
                        raise WireError(f"must hold values of {dtype[2]} bytes; got {last - first}", first)
                    data.budget.spend(_PIECE_WORK)
                    pieces.setdefault(number, []).append(data.array(first, last, dtype))
                elif kind == (wire.FIXED32 if number < 7 else wire.FIXED64):
                    # not packed: a run of tags and values, read at once
                    run, at = _unpacked(data, first - 1, end, dtype)
                    pieces.setdefault(number, []).extend(run)
                    break
            elif number == 7 and kind == LENGTH:
                shape = _read_shape(data, first, last)
            elif number <= 4 and kind == VARINT:
                old[number] = wire.signed(value)
            elif number in (10, 11) and kind == VARINT:
                raw_types[number + 2] = value
            elif number in (12, 13) and kind == LENGTH:
                raw[number] = first, last
    for number, (first, last) in raw.items():
        pieces[number] = [_raw_values(data, first, last, raw_types[number])]
    if old:
        shape = [old.get(i, 0) for i in (1, 2, 3, 4)]
    dims = limits.shape(shape or ())
    values = _chosen(pieces, (8, 5, 12))
    diff = _chosen(pieces, (9, 6, 13))
    count = prod(dims)
    if values is None:
        if count:
            raise WireError(f"must hold {count} values for its shape {shape or ()}; got none", end)
        values = np.zeros(0, np.float32)
    for array in (values, diff):
        if array is not None and array.size != count:
            raise WireError(f"must hold {count} values for its shape {shape or ()}; got {array.size}", end)
    return _finished(values, dims), _finished(diff, dims) if diff is not None else None


def _finished(array: Array, dims: limits.Shape) -> Array:
    array = array.reshape(dims)
    array.flags.writeable = False
    return array


def _chosen(pieces: dict[int, list[Array]], numbers: Iterable[int]) -> Array | None:
    """The values of the first of these fields that has any."""
    for number in numbers:
        runs = pieces.get(number, [])
        if sum(piece.size for piece in runs):
            return runs[0] if len(runs) == 1 else np.concatenate(runs)
    return None


def _raw_values(data: Source, first: int, last: int, kind: int) -> Array:
    """NVIDIA's values in bytes: of float64, float32 or float16."""
    dtype = {0: "<f8", 1: "<f4", 2: "<f2"}.get(kind)
    if dtype is None:
        raise WireError(f"must be of float64, float32 or float16; got type {kind}", first)
    if (last - first) % int(dtype[2]):
        raise WireError(f"must hold values of {dtype[2]} bytes; got {last - first}", first)
    return data.array(first, last, dtype)


def _unpacked(data: Source, at: int, end: int, dtype: str) -> tuple[list[Array], int]:
    """The values of a field that stands as often as it has values, from the tag at ``at`` on."""
    record = np.dtype([("tag", "u1"), ("value", dtype)])
    runs = []
    look, tag = _FIRST_RUN, data.byte(at)
    if at + 2 * record.itemsize > end or data.byte(at + record.itemsize) != tag:
        look = 1
    while True:
        data.budget.spend(_PIECE_WORK)
        count = min(look, (end - at) // record.itemsize)
        records = data.array(at, at + count * record.itemsize, "u1").view(record)
        other = np.flatnonzero(records["tag"] != tag)
        run = records["value"][: other[0] if other.size else None]
        runs.append(run.copy())
        at += len(run) * record.itemsize
        if other.size or look == 1 or at + record.itemsize > end:
            return runs, at
        look = min(4 * look, 1 << 24)


def _read_shape(data: Source, start: int, end: int) -> list[int]:
    sizes: list[int] = []
    for number, kind, value, first, last in wire.fields(data, start, end):
        if number == 1 and kind == VARINT:
            sizes.append(wire.signed(value))
        elif number == 1 and kind == LENGTH:
            while first < last:
                data.budget.spend(1)
                value, first = wire.varint(data, first, last)
                sizes.append(wire.signed(value))
    return sizes


def parts(values: Array, diff: Array | None = None) -> list[Part]:
    """A BlobProto's bytes in pieces, arrays uncopied."""
    double = values.dtype == np.float64
    pieces: list[Part] = []
    shape = caffe_pb2.BlobShape(dim=values.shape).SerializeToString()
    shape_field: list[Part] = [wire.tag(7, LENGTH), wire.encode_varint(len(shape)), shape]
    numbers = (8, 9) if double else (5, 6)
    if double:
        pieces += shape_field
    for number, array in zip(numbers, (values, diff)):
        if array is not None and array.size:
            flat = np.ascontiguousarray(array, "<f8" if double else "<f4").reshape(-1)
            pieces += [wire.tag(number, LENGTH), wire.encode_varint(flat.nbytes), flat.data.cast("B")]
    if not double:
        pieces += shape_field
    return pieces
