"""Protobuf's wire format: fields one after the other, without a schema and without copies."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)

Field = tuple[int, int, int, int, int]


class WireError(ValueError):
    """Bytes that are not fields; ``offset`` says where."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def fields(data: memoryview, start: int, end: int) -> Iterator[Field]:
    """Every field of the message in ``data[start:end]``: number, wire type, value, first and last byte.

    The value is that of a varint, else 0; the bytes are those of the payload. Raises WireError.
    """
    at = start
    while at < end:
        begin = at
        tag, at = varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError("must be fields of a message; got a field number of 0", begin)
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
        elif kind == GROUP:
            at = _after_group(data, at, end, number)
        else:
            raise WireError(f"must be fields of a message; got wire type {kind}", begin)
        if at > end:
            raise WireError(f"must go on for {at - end} more bytes; got the end", end)
        yield number, kind, value, first, at


def varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """The number that starts at a byte, and where the next thing starts. Raises WireError."""
    value = shift = 0
    for place in range(at, min(at + 10, end)):
        byte = data[place]
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


def _after_group(data: memoryview, at: int, end: int, number: int) -> int:
    while at < end:
        tag, behind = varint(data, at, end)
        if tag & 7 == END_GROUP:
            if tag >> 3 != number:
                raise WireError("must be the end of a group; got that of another", at)
            return behind
        _, _, _, _, at = next(fields(data, at, end))
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
