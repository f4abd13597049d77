"""Protobuf's wire format: fields one after the other, without a schema and without copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.limits import DEEPEST, Budget

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)

Field = tuple[int, int, int, int, int]


class WireError(ValueError):
    """Bytes that are not fields; ``offset`` says where."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class Source:
    """Bytes to be read: those at hand, or (``files.FileSource``) those of a file."""

    budget: Budget

    def __init__(self, data: bytes | memoryview) -> None:
        self.budget = Budget()
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._data)

    def byte(self, at: int) -> int:
        """The byte at a place within."""
        return self._data[at]

    def slice(self, first: int, last: int) -> bytes:
        """The bytes from ``first`` to before ``last``."""
        return bytes(self._data[first:last])

    def array(self, first: int, last: int, dtype: str) -> npt.NDArray[Any]:
        """The same as an array of numbers."""
        return np.frombuffer(self._data[first:last], dtype)


def fields(data: Source, start: int, end: int) -> Iterator[Field]:
    """Every field of the message from ``start`` to ``end``: number, wire type, value, first and last byte.

    The value is that of a varint, else 0; the bytes are those of the payload. Raises WireError, LimitError.
    """
    at = start
    budget = data.budget
    while at < end:
        begin = at
        budget.spend(1)
        tag, at = varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError("must be fields of a message; got a field number of 0", begin)
        if kind == GROUP:
            first, at = at, _after_group(data, at, end, number)
            yield number, kind, 0, first, at
            continue
        value, first, at = _payload(data, at, end, kind, begin)
        yield number, kind, value, first, at


def _payload(data: Source, at: int, end: int, kind: int, begin: int) -> tuple[int, int, int]:
    """A varint's value (else 0), and where the payload begins and ends."""
    value = 0
    first = at
    if kind == VARINT:
        value, at = varint(data, at, end)
    elif kind == LENGTH:
        size, first = varint(data, at, end)
        at = first + size
    elif kind == FIXED32:
        at += 4
    elif kind == FIXED64:
        at += 8
    else:
        raise WireError(f"must be fields of a message; got wire type {kind}", begin)
    if at > end:
        raise WireError(f"must go on for {at - end} more bytes; got the end", end)
    return value, first, at


def varint(data: Source, at: int, end: int) -> tuple[int, int]:
    """The number that starts at a byte, and where the next thing starts. Raises WireError."""
    value = shift = 0
    for place in range(at, min(at + 10, end)):
        byte = data.byte(place)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place + 1
        shift += 7
    if at + 10 <= end:
        raise WireError("must be a number of at most 10 bytes; got more", at)
    raise WireError("must go on; got the end", end)


def signed(value: int) -> int:
    """A varint as the two's complement that int32 and int64 fields hold."""
    return value - (1 << 64) if value >> 63 else value


def _after_group(data: Source, at: int, end: int, number: int) -> int:
    """Where a group ends; groups within it are counted, not called."""
    open_groups = [number]
    while at < end:
        begin = at
        data.budget.spend(1)
        tag, at = varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == END_GROUP:
            if number != open_groups.pop():
                raise WireError("must be the end of a group; got that of another", begin)
            if not open_groups:
                return at
        elif kind == GROUP:
            open_groups.append(number)
            if len(open_groups) > DEEPEST:
                raise WireError(f"must have groups at most {DEEPEST} deep; got more", begin)
        else:
            at = _payload(data, at, end, kind, begin)[2]
    raise WireError("must be the end of a group; got the end", end)


def encode_varint(value: int) -> bytes:
    """A number as protobuf writes it; negative ones in ten bytes."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, kind: int) -> bytes:
    """What stands before a field's payload."""
    return encode_varint(number << 3 | kind)
