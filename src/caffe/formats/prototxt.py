"""Text files of nets and solvers: reading, with errors that say where, and writing."""

from __future__ import annotations

import os
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from caffe import limits
from caffe.errors import CaffeWarning, ParseError, close_names
from caffe.formats import atomic, files
from caffe.proto import caffe_pb2, forks

_M = TypeVar("_M", bound=Message)

_LOOK_BACK = 400
"""How many characters of a line before a mistake are searched for the field's name."""
_MOST_LISTED = 100
_LONGEST_DETAIL = 500


@dataclass
class NetFile:
    """A net and where its layers were written.

    ``lines`` holds the line number of each entry of ``param.layer`` (or ``param.layers``), in order;
    ``input_line`` is where the net's inputs are, if they are fields of the net.
    """

    param: caffe_pb2.NetParameter
    file: str | None = None
    lines: list[int] = field(default_factory=list)
    input_line: int = 1
    dialect: str | None = None
    """What a line ``# dialect: NAME`` of the text says."""


_DIALECT = re.compile(r"^[ \t]*#[ \t]*dialect[ \t]*[:=][ \t]*(\S+)[ \t]*$", re.MULTILINE | re.IGNORECASE)


def read_net(path: str | os.PathLike[str], *, permissive: bool | None = None) -> NetFile:
    """The net in a prototxt file, as written: of any version, nothing upgraded.

    Raises MissingFileError, FileAccessError, or ParseError saying file, line, layer and field. With
    ``permissive`` (or CAFFE_PERMISSIVE=1 in the environment) unknown fields are passed over, with one
    warning that lists them.
    """
    return parse_net(read_text(path), file=os.fspath(path), permissive=permissive)


def parse_net(text: str, *, file: str | None = None, permissive: bool | None = None) -> NetFile:
    """The net in a text; ``file`` is where it came from. See :func:`read_net`."""
    param = parse(text, caffe_pb2.NetParameter(), file=file, permissive=permissive)
    source = Source(text)
    said = _DIALECT.search(text)
    lines = [block.line for block in source.layers]
    return NetFile(param, file, lines, source.first_line_of("input"), said[1] if said else None)


def read_solver(path: str | os.PathLike[str], *, permissive: bool | None = None) -> caffe_pb2.SolverParameter:
    """The solver definition in a prototxt file. Raises as :func:`read_net`."""
    return parse_solver(read_text(path), file=os.fspath(path), permissive=permissive)


def parse_solver(
    text: str, *, file: str | None = None, permissive: bool | None = None
) -> caffe_pb2.SolverParameter:
    """The solver definition in a text; ``file`` is where it came from."""
    devices = re.search(r"^([ \t]*device_id[ \t]*:[ \t]*)\[\s*(\d+)[\s\d,]*\]", text, re.MULTILINE)
    if devices:  # yjxiong's fork, which trains on several from one definition
        warnings.warn(
            f"{file or 'solver'}: device_id lists several devices; only the first, {devices[2]}, is used",
            CaffeWarning,
            stacklevel=3,
        )
        text = text[: devices.start()] + devices[1] + devices[2] + text[devices.end() :]
    return parse(text, caffe_pb2.SolverParameter(), file=file, permissive=permissive)


def read(path: str | os.PathLike[str], message: _M, *, permissive: bool | None = None) -> _M:
    """Fill ``message``, of any type, from a text file; returns it. Raises as :func:`read_net`."""
    return parse(read_text(path), message, file=os.fspath(path), permissive=permissive)


def parse(text: str, message: _M, *, file: str | None = None, permissive: bool | None = None) -> _M:
    """Fill ``message``, of any type, from a text; returns it. Raises ParseError."""
    if permissive is None:
        permissive = os.environ.get("CAFFE_PERMISSIVE", "") not in ("", "0")
    with limits.guarding(ParseError, file):
        try:
            text_format.Parse(text, message, allow_unknown_field=permissive)
        except text_format.ParseError as error:
            raise _explained(error, Source(text), message, file) from error
    missing: list[str] = message.FindInitializationErrors()  # type: ignore[attr-defined]
    if missing:
        raise _missing(missing[0], message, Source(text), file)
    if permissive:
        unknown = list(Source(text).unknown_fields(message.DESCRIPTOR))
        if unknown:
            listed = ", ".join(f"{name[:100]} (line {line})" for line, name in unknown[:_MOST_LISTED])
            listed += f" and {len(unknown) - _MOST_LISTED} more" if len(unknown) > _MOST_LISTED else ""
            warnings.warn(
                f"{file or 'text'}: unknown fields passed over: {listed}", CaffeWarning, stacklevel=3
            )
    return message


def write(path: str | os.PathLike[str], message: Message) -> None:
    """Write a message as text, whole or not at all. Raises FileAccessError."""
    with atomic.replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as out:
        out.write(text_format.MessageToString(message))


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a prototxt file (or pipe); bytes that are not UTF-8 are taken for Latin-1.

    Raises MissingFileError, FileAccessError, or ParseError for a binary file or one of more than 64 MB.
    """
    data = files.read_text_bytes(path, kind=ParseError)
    if b"\0" in data:
        raise ParseError(
            "must be a text file; got binary data",
            file=path,
            fix="Weights (.caffemodel) are given beside the net's prototxt, not in its place.",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


@dataclass
class LayerBlock:
    """Where one layer stands in a text: its first and last line, and its name and type."""

    line: int
    last: int
    name: str | None = None
    type: str | None = None


class Source:
    """A text seen as tokens, for finding places in it; it is never wrong about brackets in strings."""

    _TOKEN = re.compile(
        r"""(?P<string>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
        | (?P<word>[^\s{}<>\[\]:,;"'\#]+) | (?P<mark>[{}<>\[\]:,;]) | \#[^\n]*""",
        re.VERBOSE,
    )

    _BEHIND_SPACE = re.compile(r"\s*(\S?)")

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def line_at(self, position: int) -> int:
        """The number, from 1, of the line that holds a position."""
        return bisect_right(self._line_starts, position)

    def line(self, number: int) -> str:
        """The text of a line."""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else None]

    def _next_character(self, position: int) -> str:
        """The first character from a position on that is no space, or nothing."""
        match = self._BEHIND_SPACE.match(self.text, position)
        return match[1] if match else ""

    def tokens(self) -> Iterator[tuple[str, str, int]]:
        """Kind (string, word or mark), text and position of every token; comments left out."""
        for match in self._TOKEN.finditer(self.text):
            if match.lastgroup:
                yield match.lastgroup, match.group(), match.start()

    @cached_property
    def layers(self) -> list[LayerBlock]:
        """The blocks ``layer`` and ``layers`` at the top level, in order."""
        blocks: list[LayerBlock] = []
        depth = 0
        key, key_at = "", 0
        for kind, token, position in self.tokens():
            if kind == "mark":
                if token in "{<":
                    if depth == 0 and key in ("layer", "layers"):
                        blocks.append(LayerBlock(self.line_at(key_at), len(self._line_starts)))
                    depth += 1
                elif token in "}>":
                    depth -= 1
                    if depth == 0 and blocks and blocks[-1].last == len(self._line_starts):
                        blocks[-1].last = self.line_at(position)
                if token != ":":
                    key = ""
            elif depth <= 2 and key in ("name", "type") and blocks:
                # depth 2: version 0 has its name in a layer within the layer
                if depth > 0 and getattr(blocks[-1], key) is None:
                    setattr(blocks[-1], key, token.strip("\"'"))
                key = ""
            elif kind == "word":
                key, key_at = token, position
        return blocks

    def first_line_of(self, key: str) -> int:
        """The line where a field first stands at the start of a line; 1 if nowhere."""
        match = re.search(rf"^[ \t]*{key}[ \t]*:", self.text, re.MULTILINE)
        return self.line_at(match.end()) if match else 1

    def layer_at(self, line: int) -> LayerBlock | None:
        """The layer whose block holds a line."""
        for block in self.layers:
            if block.line <= line <= block.last:
                return block
        return None

    def unknown_fields(self, descriptor: Any) -> Iterator[tuple[int, str]]:
        """Line and name of every field that the message type does not have, outermost only."""
        stack = [descriptor]
        inner = None
        expect_value = False
        for kind, token, position in self.tokens():
            if kind == "mark":
                if token in "{<":
                    stack.append(inner)
                    expect_value = False
                elif token in "}>" and len(stack) > 1:
                    stack.pop()
                    expect_value = False
                elif token == ":":
                    expect_value = True
                elif token == "]":
                    expect_value = False
            elif expect_value:
                after = self._next_character(position + len(token))
                expect_value = after in (",", "]") or (kind == "string" and after in ('"', "'"))
            elif kind == "word" and stack[-1] is not None:
                known = stack[-1].fields_by_name.get(token)
                inner = known.message_type if known is not None else None
                if known is None:
                    yield self.line_at(position), token
            else:
                inner = None


def _explained(
    error: text_format.ParseError, source: Source, message: Message, file: str | None
) -> ParseError:
    """The error of this package for one of protobuf's."""
    text = str(error)
    line, column = error.GetLine(), error.GetColumn()
    detail = re.sub(r"^\d+:\d+ : ", "", text)
    fix: str | None = None
    name: str | None = None
    if line is not None:
        # protobuf points at the value, or just behind it: the field is what stands before
        before = source.line(line)[: max((column or 1) - 1, 0)][-_LOOK_BACK:]
        fields = re.findall(r"(\w+)\s*:", before)
        name = fields[-1] if fields and re.search(r":\s*\[?\s*\S*$", before) else None
    if match := re.search(r'Message type "(?:\w+\.)?([\w.]+)" has no field named "([^"]*)"', text):
        kind, name = match[1], match[2]
        detail = f"must be a field of {kind}; got {name!r}"
        fix = _hint_for_field(kind, name)
    elif match := re.search(r'Enum type "(?:\w+\.)?([\w.]+)" has no value named (.*?)\.?$', text):
        values = _enum_values(match[1])
        got = match[2].strip("\"'")
        shown = " or ".join(values) if len(values) <= 12 else f"a value of {match[1]}"
        detail = f"must be {shown}; got {match[2]}"
        fix = close_names(got, values) or None
        if match[1] == "V1LayerParameter.LayerType" and '"' in match[2]:
            fix = "Types in quotes belong to blocks called 'layer', types of capitals to 'layers'."
    elif match := re.search(r'should not have multiple "(\w+)" fields', text):
        name = match[1]
        detail = "must be given once; got it again"
    elif match := re.search(r"Couldn't parse (integer|float|bool)\w*: (.*)", text):
        kinds = {"integer": "an integer", "float": "a number", "bool": "true or false"}
        detail = f"must be {kinds[match[1]]}; got {match[2].strip()!r}"
    elif match := re.search(r"Value out of range: (.*)", text):
        detail = f"must be an integer of the field's range (none below 0 for sizes); got {match[1]}"
    elif match := re.search(r"Expected string but found: (.*)", text):
        got = match[1].strip("'")
        detail = f"must be a string in quotes; got {got}"
        if name == "type" and got.isupper():
            fix = "Types of capitals belong to blocks called 'layers', types in quotes to 'layer'."
    elif "missing ending quote" in text:
        detail = "must end with a quote on the same line"
    elif match := re.search(r"has no value with number (.*?)\.?$", text):
        detail = f"must be one of the names or numbers of its kind; got {match[1]}"
    elif match := re.search(r"Expected identifier or number, got (.*)\.", text):
        detail, name = f"must have the name of a field here; got '{match[1]}'", None
    elif match := re.search(r'Expected "(.*?)"', text):
        detail = f"must have '{match[1]}' here; got {source.line(line).strip()!r}" if line else detail
        name = None
    block = source.layer_at(line) if line is not None else None
    name = name[:_LOOK_BACK] if name else None
    return ParseError(
        detail if len(detail) <= _LONGEST_DETAIL else f"{detail[:_LONGEST_DETAIL]}…",
        file=file,
        line=line,
        layer=block.name if block else None,
        type=block.type if block else None,
        field=name,
        fix=fix,
    )


def _hint_for_field(kind: str, name: str) -> str | None:
    if name.isdigit():
        return "Decimal numbers are written with a point, lists as [1, 2]."
    if name in forks.FIELDS:
        return f"This field belongs to {forks.FIELDS[name]}, which is not supported."
    descriptor = caffe_pb2.DESCRIPTOR.message_types_by_name.get(kind.split(".")[0])
    for part in kind.split(".")[1:]:
        descriptor = descriptor.nested_types_by_name.get(part) if descriptor is not None else None
    others = {"NetParameter": "SolverParameter", "SolverParameter": "NetParameter"}
    if kind in others:
        other = others[kind]
        if name in caffe_pb2.DESCRIPTOR.message_types_by_name[other].fields_by_name:
            got, wanted = ("solver", "net") if kind == "NetParameter" else ("net", "solver")
            return f"This looks like the definition of a {got}; give that of a {wanted}."
    close = close_names(name, descriptor.fields_by_name) if descriptor is not None else ""
    return close or "To pass over unknown fields set CAFFE_PERMISSIVE=1."


def _enum_values(full_name: str) -> list[str]:
    holder: object = caffe_pb2
    for part in full_name.split("."):
        holder = getattr(holder, part, None)
    keys = getattr(holder, "keys", None)
    return list(keys()) if keys else []


def _missing(path: str, message: Message, source: Source, file: str | None) -> ParseError:
    """The error for a required field that is not there; ``path`` is like ``layer[3].clip_param.min``."""
    block = None
    if match := re.match(r"layers?\[(\d+)\]", path):
        block = source.layers[int(match[1])] if int(match[1]) < len(source.layers) else None
    return ParseError(
        "must be given; got nothing",
        file=file,
        line=block.line if block else None,
        layer=block.name if block else None,
        type=block.type if block else None,
        field=path.split(".", 1)[-1] if block else path,
    )
