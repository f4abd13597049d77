"""Changes to a file: of its bytes, and of what its format is made of (tokens, fields of a message, values)."""

from __future__ import annotations

import json
import random
import re
import struct
from typing import Any

from caffe.formats.wire import encode_varint

_NUMBERS = (
    0,
    1,
    2,
    32,
    127,
    128,
    255,
    1000,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**62,
    2**63,
    2**64 - 1,
)
_TOKENS = [
    "0",
    "-1",
    "1e39",
    "nan",
    "inf",
    "4294967296",
    "99999999999999999999",
    '""',
    '"\\000"',
    "{",
    "}",
    "[",
    "]",
]
_TOKENS += [
    "true",
    "layer {",
    "}" * 50,
    "{ a" * 50,
    "\n" * 100,
    "#",
    "'",
    '"',
    "type",
    "name",
    "x" * 500,
    "\0",
    "é",
]
_TOKENS += ["-", ":"]
_MOST = 1 << 16


def mutated(data: bytes, kind: str, draw: random.Random, others: list[bytes]) -> bytes:
    """A case: ``data`` after one to six changes."""
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        change = {"text": _text, "wire": _wire, "json": _json}.get(kind, _bytes)
        data = (change if draw.random() < 0.7 else _bytes)(data, draw, others)
    return data[:_MOST]


def _bytes(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    found = bytearray(data or b"\0")
    at = draw.randrange(len(found))
    size = min(draw.choice((1, 2, 4, 8, 64, 512)), len(found) - at)
    what = draw.randrange(8)
    if what == 0:
        found[at] ^= 1 << draw.randrange(8)
    elif what == 1:
        found[at : at + size] = draw.randbytes(size)
    elif what == 2:
        del found[at : at + size]
    elif what == 3:
        found[at:at] = found[at : at + size] * draw.choice((1, 1, 3, 50))
    elif what == 4:
        del found[at:]
    elif what == 5:
        number = struct.pack(draw.choice("<>") + "Q", draw.choice(_NUMBERS))[: draw.choice((1, 2, 4, 8))]
        found[at : at + len(number)] = number
    elif what == 6:
        other = draw.choice(others)
        start = draw.randrange(len(other))
        found[at : at + size] = other[start : start + size]
    else:
        found[at : at + size] = bytes(size)
    return bytes(found)


def _text(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    tokens = re.findall(rb"\s+|\w+|[^\w\s]", data) or [b""]
    at = draw.randrange(len(tokens))
    what = draw.randrange(5)
    if what == 0:
        tokens[at] = draw.choice(_TOKENS).encode()
    elif what == 1:
        tokens.insert(at, draw.choice(_TOKENS).encode())
    elif what == 2:
        del tokens[at : at + draw.choice((1, 2, 10))]
    elif what == 3:
        numbers = [i for i, t in enumerate(tokens) if t.isdigit()] or [at]
        tokens[draw.choice(numbers)] = str(draw.choice(_NUMBERS) * draw.choice((1, 1, -1))).encode()
    else:
        size = draw.choice((1, 5, 20, 60))
        tokens[at:at] = tokens[at : at + size] * draw.choice((1, 1, 5, 100))
    return b"".join(tokens)


def _wire(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """A field of another number, type, length or value put in, or the data put within a field or a group."""
    number, kind = draw.choice((1, 2, 4, 5, 6, 7, 8, 10, 12, 100, 2**29 - 1, 0)), draw.randrange(8)
    tag = encode_varint(number << 3 | kind)
    at = draw.randrange(len(data) + 1)
    what = draw.randrange(4)
    if what == 0:
        return data[:at] + tag + encode_varint(draw.choice(_NUMBERS)) + data[at:]
    if what == 1:
        return encode_varint(number << 3 | 2) + encode_varint(len(data)) + data
    if what == 2:
        depth = draw.choice((1, 10, 90, 110, 4000))
        return encode_varint(number << 3 | 3) * depth + data + encode_varint(number << 3 | 4) * depth
    return data[:at] + encode_varint(draw.choice(_NUMBERS)) + data[at + draw.randrange(3) :]


def _json(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    lines = data.splitlines() or [b""]
    at = draw.randrange(len(lines))
    try:
        lines[at] = json.dumps(_changed(json.loads(lines[at]), draw)).encode()
    except (ValueError, RecursionError):
        return _text(data, draw, others)
    return b"\n".join(lines)


def _changed(value: Any, draw: random.Random) -> Any:
    if draw.random() < 0.3 or not isinstance(value, (dict, list)) or not value:
        return draw.choice(
            (None, True, -1, 2**70, 1e308, "", "x" * 300, [], {}, [[[]]], [value] * 20, {"a": value})
        )
    value = value.copy()
    key = draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))
    if draw.random() < 0.2:
        del value[key]
    else:
        value[key] = _changed(value[key], draw)
    return value
