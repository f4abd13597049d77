"""A dialect: the layer types, fields, numbers and limits of one fork or toolchain, from its file.

The files are TOML beside this module; docs/dialects.md says what may stand in them. Messages, fields and enums go
by the names of this package's schema; numbers are the dialect's own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor

from caffe.proto import caffe_pb2

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

parse = tomllib.loads
Numbers = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Limit:
    """A bound that a toolchain puts on layers of some types.

    ``of`` is what is bounded: ``kernel``, ``stride``, ``pad``, ``dilation`` (each side), ``bottoms``, ``tops``,
    ``bottom.axes``, ``bottom.batch``, ``bottom.channels``, ``bottom.height``, ``bottom.width`` (the same of
    ``top``), or a field's path in LayerParameter.
    """

    types: frozenset[str]
    of: str
    least: float | None = None
    most: float | None = None
    among: tuple[Any, ...] | None = None
    given: bool | None = None
    says: str = ""
    source: str = ""


@dataclass(frozen=True)
class Meaning:
    """What a layer means in this dialect where nothing in the file tells.

    ``set`` is text of a LayerParameter that says it, merged into layers of the type in which none of the fields
    ``unless`` is given; empty where the package reads it so by default.
    """

    type: str
    set: str
    unless: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class Dialect:
    """One fork or toolchain. ``types`` are the layer types it has; ``fields`` and ``enums`` their numbers by name.

    ``fields`` goes by message name (``"PoolingParameter"``, nested ones with a dot), then by field name.
    """

    name: str
    title: str
    sources: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    about: str = ""
    types: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()
    """Those of ``types`` that this package does not have."""
    fields: Numbers = field(default_factory=dict)
    enums: Numbers = field(default_factory=dict)
    kinds: dict[str, dict[str, str]] = field(default_factory=dict)
    """Fields whose values are ``int`` or ``float`` in its files and not in ours; ``none`` are not written at all."""
    limits: tuple[Limit, ...] = ()
    meanings: tuple[Meaning, ...] = ()
    deploy: bool = False
    """Whether only the layers of the TEST phase count: a toolchain, not a trainer."""
    inputs: str = ""
    """``"fields"`` or ``"layer"`` where a net's inputs must be written in one of the two ways."""

    def has(self, type_name: str) -> bool:
        """Whether there is a layer type of that name."""
        return type_name in self.types

    def takes(self, type_name: str, path: str) -> bool:
        """Whether layers of a type may have a field, given by its path: ``"pooling_param.round_mode"``."""
        if not self.has(type_name):
            return False
        descriptor: Any = caffe_pb2.LayerParameter.DESCRIPTOR
        for part in path.split("."):
            if descriptor is None or part not in self.fields_of(descriptor):
                return False
            descriptor = descriptor.fields_by_name[part].message_type
        return not any(
            limit.of == path and limit.given is False and type_name in limit.types for limit in self.limits
        )

    def fields_of(self, message: Descriptor) -> Mapping[str, int]:
        """The fields of a message of the schema, and the numbers they have in this dialect."""
        return self.fields.get(message_name(message), {})

    def __str__(self) -> str:
        return self.name


def message_name(descriptor: Any) -> str:
    """A message's or enum's name in dialects' files: the schema's, without the package."""
    return str(descriptor.full_name).removeprefix("caffe.")


def numbers(table: Mapping[str, str]) -> Numbers:
    """``"a=1 b=2"`` of each message as a dict."""
    by_message: Numbers = {}
    for message, text in table.items():
        pairs = (item.partition("=") for item in text.split())
        by_message[message] = {name: int(number) for name, _, number in pairs}
    return by_message


def made(name: str, table: Mapping[str, Any], bases: list[Dialect]) -> Dialect:
    """The dialect of a file's contents, on top of those it builds on."""
    layers, without = table.get("layers", {}), table.get("without", {})
    types: set[str] = set()
    elsewhere: set[str] = set()
    fields: Numbers = {}
    enums: Numbers = {}
    kinds: dict[str, dict[str, str]] = {}
    for base in bases:
        types |= base.types
        elsewhere |= base.elsewhere
        for message, said in base.kinds.items():
            kinds.setdefault(message, {}).update(said)
        for mine, theirs in ((fields, base.fields), (enums, base.enums)):
            for message, values in theirs.items():
                mine[message] = {**values, **mine.get(message, {})}
    if "only" in layers:
        types, elsewhere = set(layers["only"].split()), set()
    types |= set(layers.get("add", "").split())
    types -= set(layers.get("without", "").split())
    elsewhere |= set(layers.get("elsewhere", "").split())
    for mine, key in ((fields, "fields"), (enums, "enums")):
        for message, values in numbers(table.get(key, {})).items():
            mine[message] = {**mine.get(message, {}), **values}
    for message, text in table.get("kinds", {}).items():
        kinds.setdefault(message, {}).update(item.split("=") for item in text.split())
    for message, gone in without.items():
        for field_name in gone.split():
            fields.get(message, {}).pop(field_name, None)
    return Dialect(
        name,
        table["title"],
        tuple(table["sources"]),
        tuple(table.get("aliases", ())),
        table.get("about", ""),
        frozenset(types | elsewhere),
        frozenset(elsewhere),
        fields,
        enums,
        kinds,
        tuple(_limit(entry) for entry in table.get("limit", ())),
        tuple(
            Meaning(
                entry["type"], entry.get("set", ""), tuple(entry.get("unless", "").split()), entry["says"]
            )
            for entry in table.get("meaning", ())
        ),
        table.get("deploy", False),
        table.get("inputs", ""),
    )


def _limit(entry: Mapping[str, Any]) -> Limit:
    values = dict(entry)
    values["types"] = frozenset(values["types"].split())
    if "among" in values:
        values["among"] = tuple(values["among"])
    return Limit(**values)
