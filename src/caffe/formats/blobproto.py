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

from caffe.formats import wire
from caffe.formats.wire import LENGTH, VARINT, WireError
from caffe.proto import caffe_pb2

Array = npt.NDArray[Any]
Part = bytes | memoryview


def read(data: memoryview, start: int, end: int) -> tuple[Array, Array | None]:
    """Data and diff (or None) of the BlobProto in ``data[start:end]``, as views of it. Raises WireError."""
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
                    pieces.setdefault(number, []).append(np.frombuffer(data[first:last], dtype))
                elif kind == (wire.FIXED32 if number < 7 else wire.FIXED64):
                    # not packed: a run of tags and values, read at once
                    run, at = _unpacked(data, first - 1, end, dtype)
                    pieces.setdefault(number, []).append(run)
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
    values = _chosen(pieces, (8, 5, 12))
    diff = _chosen(pieces, (9, 6, 13))
    count = prod(shape or ())
    if values is None:
        if count:
            raise WireError(f"must hold {count} values for its shape {shape or ()}; got none", end)
        values = np.zeros(0, np.float32)
    for array in (values, diff):
        if array is not None and array.size != count:
            raise WireError(f"must hold {count} values for its shape {shape or ()}; got {array.size}", end)
    return values.reshape(shape or ()), diff.reshape(shape or ()) if diff is not None else None


def _chosen(pieces: dict[int, list[Array]], numbers: Iterable[int]) -> Array | None:
    """The values of the first of these fields that has any."""
    for number in numbers:
        found = pieces.get(number, [])
        if sum(piece.size for piece in found):
            return found[0] if len(found) == 1 else np.concatenate(found)
    return None


def _raw_values(data: memoryview, first: int, last: int, kind: int) -> Array:
    """NVIDIA's values in bytes: of float64, float32 or float16."""
    dtype = {0: "<f8", 1: "<f4", 2: "<f2"}.get(kind)
    if dtype is None:
        raise WireError(f"must be of float64, float32 or float16; got type {kind}", first)
    if (last - first) % int(dtype[2]):
        raise WireError(f"must hold values of {dtype[2]} bytes; got {last - first}", first)
    return np.frombuffer(data[first:last], dtype)


def _unpacked(data: memoryview, at: int, end: int, dtype: str) -> tuple[Array, int]:
    """The values of a field that stands as often as it has values, from the tag at ``at`` on."""
    record = np.dtype([("tag", "u1"), ("value", dtype)])
    records = np.frombuffer(data[at:end], record, count=(end - at) // record.itemsize)
    other = np.flatnonzero(records["tag"] != records["tag"][0])
    run = records["value"][: other[0] if other.size else None]
    return run.copy(), at + len(run) * record.itemsize


def _read_shape(data: memoryview, start: int, end: int) -> list[int]:
    sizes: list[int] = []
    for number, kind, value, first, last in wire.fields(data, start, end):
        if number == 1 and kind == VARINT:
            sizes.append(wire.signed(value))
        elif number == 1 and kind == LENGTH:
            while first < last:
                value, first = wire.varint(data, first, last)
                sizes.append(wire.signed(value))
    if any(size < 0 for size in sizes):
        raise WireError(f"must have a shape of sizes that are not negative; got {sizes}", start)
    return sizes


def parts(values: Array, diff: Array | None = None) -> list[Part]:
    """A BlobProto's bytes in pieces, arrays uncopied."""
    double = values.dtype == np.float64
    found: list[Part] = []
    shape = caffe_pb2.BlobShape(dim=values.shape).SerializeToString()
    shape_field: list[Part] = [wire.tag(7, LENGTH), wire.encode_varint(len(shape)), shape]
    numbers = (8, 9) if double else (5, 6)
    if double:
        found += shape_field
    for number, array in zip(numbers, (values, diff)):
        if array is not None and array.size:
            flat = np.ascontiguousarray(array, "<f8" if double else "<f4").reshape(-1)
            found += [wire.tag(number, LENGTH), wire.encode_varint(flat.nbytes), flat.data.cast("B")]
    if not double:
        found += shape_field
    return found
