"""Datum: the record of image databases, read and written at wire level.

A database is read a record at a time at training speed, so no protobuf objects are made: the fields of a
Datum (channels, height, width, data, label, float_data, encoded) are few and flat.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.errors import CorruptDataError, DataError

Bytes = bytes | bytearray | memoryview
Array = npt.NDArray[Any]

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FLOAT_TAG = 6 << 3 | _FIXED32
_NO_FLOATS: npt.NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(slots=True)
class Datum:
    """One record. ``data`` holds 8-bit values in C×H×W order, or an image file's bytes if ``encoded``.

    ``floats`` is ``float_data``: the values where there is no ``data``, else a vector of labels. ``None`` for
    ``label`` and ``encoded`` means that the field is absent.
    """

    channels: int = 0
    height: int = 0
    width: int = 0
    data: Bytes = b""
    label: int | None = None
    floats: npt.NDArray[np.float32] = field(default_factory=lambda: _NO_FLOATS)
    encoded: bool | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width, as the record says (an encoded one may say nothing)."""
        return self.channels, self.height, self.width

    @property
    def labels(self) -> npt.NDArray[np.float32]:
        """The label as a vector of one, or ``float_data`` where that holds labels."""
        if len(self.data) and len(self.floats):
            return self.floats
        return np.array([self.label or 0], np.float32)

    def pixels(self) -> Array:
        """The values of a record that is not encoded, channels × height × width, uint8 or float32, no copy.

        Raises DataError when their number is not the shape's.
        """
        values: Array = np.frombuffer(self.data, np.uint8) if len(self.data) else self.floats
        if values.size != self.channels * self.height * self.width:
            raise DataError(
                f"A record of {self.channels}×{self.height}×{self.width} must hold "
                f"{self.channels * self.height * self.width} values; got {values.size}"
            )
        return values.reshape(self.shape)

    def serialize(self) -> bytes:
        """The record's bytes, as protobuf writes them: fields by number, absent ones left out."""
        parts = [b""]
        if self.channels or self.height or self.width:
            parts.append(b"\x08" + _varint(self.channels) + b"\x10" + _varint(self.height))
            parts.append(b"\x18" + _varint(self.width))
        if len(self.data):
            parts += [b"\x22", _varint(len(self.data)), self.data]  # type: ignore[list-item]
        if self.label is not None:
            parts.append(b"\x28" + _varint(self.label))
        if len(self.floats):
            tagged = np.empty(len(self.floats), [("tag", "u1"), ("value", "<f4")])
            tagged["tag"], tagged["value"] = _FLOAT_TAG, self.floats
            parts.append(tagged.tobytes())
        if self.encoded is not None:
            parts.append(b"\x38" + _varint(self.encoded))
        return b"".join(parts)


def parse(record: Bytes) -> Datum:
    """Read a record; ``data`` is a view of it where it is a memoryview. Raises CorruptDataError."""
    datum = Datum()
    view = memoryview(record)
    at, end = 0, len(view)
    runs: list[Array] = []
    try:
        while at < end:
            tag, at = _read_varint(view, at)
            number, kind = tag >> 3, tag & 7
            if kind == _VARINT:
                value, at = _read_varint(view, at)
                _set(datum, number, value)
            elif kind == _LENGTH:
                size, at = _read_varint(view, at)
                if at + size > end:
                    raise CorruptDataError(f"a field of {size} bytes runs over the record's end")
                if number == 4:
                    datum.data = view[at : at + size]
                elif number == 6:
                    runs.append(np.frombuffer(view[at : at + size], "<f4"))
                at += size
            elif kind == _FIXED32:
                if tag == _FLOAT_TAG:
                    run, at = _float_run(view, at - 1)
                    runs.append(run)
                else:
                    at += 4
            elif kind == _FIXED64:
                at += 8
            else:
                raise CorruptDataError(f"field {number} has the wire type {kind}")
        if at > end or not all(n >= 0 for n in datum.shape):
            raise CorruptDataError("a field runs over the record's end")
    except (IndexError, ValueError, struct.error) as error:
        message = getattr(error, "message", None) or "it ends in the middle of a field"
        raise CorruptDataError(
            f"These {end} bytes are no Datum: {message}",
            fix="The database is damaged, or holds other records than Datum",
        ) from None
    if runs:
        datum.floats = runs[0] if len(runs) == 1 else np.concatenate(runs)
    return datum


def _set(datum: Datum, number: int, value: int) -> None:
    if number == 5:
        value &= 0xFFFFFFFF
        datum.label = value - (1 << 32) if value >> 31 else value
    elif number == 1:
        datum.channels = value
    elif number == 2:
        datum.height = value
    elif number == 3:
        datum.width = value
    elif number == 7:
        datum.encoded = bool(value)


def _float_run(view: memoryview, start: int) -> tuple[Array, int]:
    """The floats that follow one another from the tag at ``start``, each with its tag, and where they end."""
    items = np.frombuffer(
        view[start : start + (len(view) - start) // 5 * 5], [("tag", "u1"), ("value", "<f4")]
    )
    others = np.flatnonzero(items["tag"] != _FLOAT_TAG)
    count = int(others[0]) if others.size else len(items)
    if count == 0:
        raise IndexError
    return np.ascontiguousarray(items["value"][:count]), start + 5 * count


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    byte = view[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = view[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise CorruptDataError("a number is longer than 10 bytes")


def _varint(value: int) -> bytes:
    value = int(value) & 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(slots=True)
class Stack:
    """Records of one shape, read together."""

    shape: tuple[int, int, int]
    values: npt.NDArray[np.uint8]
    """records × (channels · height · width)"""
    labels: npt.NDArray[np.float32]


def stack(records: list[Bytes]) -> Stack | None:
    """Read raw 8-bit records of one shape all at once; None where they are anything else.

    Such records differ only in their pixels and in the label behind them, so one comparison of the bytes
    around the pixels shows that all have the layout of the first.
    """
    size = len(records[0])
    if set(map(len, records)) != {size}:
        return None
    first = parse(records[0])
    if first.encoded or not len(first.data) or len(first.floats) or first.label is None or first.label < 0:
        return None
    head = b"\x08%b\x10%b\x18%b\x22%b" % tuple(_varint(n) for n in (*first.shape, len(first.data)))
    tail = b"" if first.encoded is None else b"\x38\x00"
    start, stop = len(head), len(head) + len(first.data)
    label_size = size - stop - 1 - len(tail)
    if label_size not in (1, 2, 3) or len(first.data) != math.prod(first.shape):
        return None
    table = np.frombuffer(b"".join(records), np.uint8).reshape(len(records), size)
    around = np.concatenate(
        [table[:, :start], table[:, stop : stop + 1], table[:, size - len(tail) :]], axis=1
    )
    if not (around == np.frombuffer(head + b"\x28" + tail, np.uint8)).all():
        return None
    digits = table[:, stop + 1 : stop + 1 + label_size]
    if (digits[:, -1] & 0x80).any() or not (digits[:, :-1] & 0x80).all():
        return None
    labels = ((digits & 0x7F) << (7 * np.arange(label_size, dtype=np.int32))).sum(axis=1)
    return Stack(first.shape, table[:, start:stop], labels.astype(np.float32))
