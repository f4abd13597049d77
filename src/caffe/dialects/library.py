"""The dialects that there are, by name."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from caffe import layer_factory
from caffe.dialects.dialect import Dialect, Numbers, made, message_name, parse
from caffe.errors import InputTypeError, UnknownNameError, close_names
from caffe.proto import caffe_pb2

FOLDER = Path(__file__).parent
OWN = "caffe-torch"
"""The dialect of all that this package knows; it has no list of its own."""


@lru_cache(maxsize=1)
def _files() -> dict[str, Path]:
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def names() -> list[str]:
    """The names of all dialects, in alphabetical order."""
    return sorted(_files())


def load(name: str | Dialect) -> Dialect:
    """A dialect by its name, or one of its other names, in letters of any case. Raises UnknownNameError."""
    if isinstance(name, Dialect):
        return name
    if not isinstance(name, str):
        raise InputTypeError(f"A dialect is named by a string; got {name!r}")
    known = _names().get(name.strip().lower())
    if known is None:
        raise UnknownNameError(
            f"There is no dialect '{name}'",
            fix=close_names(name.strip().lower(), _names()) or f"Dialects: {', '.join(names())}",
        )
    return _own() if known == OWN else _read(known)


@lru_cache(maxsize=1)
def types_with_meanings() -> frozenset[str]:
    """The layer types that some dialect gives a meaning; found without reading the files as TOML."""
    types_of_all = (
        re.findall(r'^\[\[meaning]]\ntype = "(\w+)"', p.read_text("utf-8"), re.M) for p in _files().values()
    )
    return frozenset(name for types in types_of_all for name in types)


def having(type_name: str) -> list[str]:
    """The names of the dialects with a layer type, in alphabetical order."""
    return [name for name in names() if load(name).has(type_name)]


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    found = {name: name for name in _files()}
    for name in _files():
        for alias in _table(name).get("aliases", ()):
            found.setdefault(alias.lower(), name)
    return found


@cache
def _table(name: str) -> dict[str, Any]:
    return parse(_files()[name].read_text(encoding="utf-8"))


@cache
def _read(name: str) -> Dialect:
    table = _table(name)
    return made(name, table, [load(base) for base in table.get("base", ())])


def _own() -> Dialect:
    """All types that are registered now, and the whole schema."""
    table = dict(_table(OWN))
    fields, enums = _schema()
    base = Dialect("", "", (), types=frozenset(layer_factory.layer_type_list()), fields=fields, enums=enums)
    return made(OWN, table, [base])


@lru_cache(maxsize=1)
def _schema() -> tuple[Numbers, Numbers]:
    fields: Numbers = {}
    enums: Numbers = {}

    def add(message: Any) -> None:
        fields[message_name(message)] = {f.name: f.number for f in message.fields}
        for inner in message.nested_types:
            add(inner)
        for enum in message.enum_types:
            enums[message_name(enum)] = {v.name: v.number for v in enum.values}

    for message in caffe_pb2.DESCRIPTOR.message_types_by_name.values():
        add(message)
    for enum in caffe_pb2.DESCRIPTOR.enum_types_by_name.values():
        enums[message_name(enum)] = {v.name: v.number for v in enum.values}
    return fields, enums
