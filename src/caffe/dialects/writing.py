"""Files of a dialect: caffemodels with its own field numbers, and nets in the form of 2014 (version 1)."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from caffe.dialects.dialect import Dialect, message_name
from caffe.dialects.library import load
from caffe.errors import NetError, WeightsError
from caffe.formats import atomic, binaryproto, wire
from caffe.passes.upgrade_v1 import TYPES
from caffe.proto import caffe_pb2

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]


def write_weights(
    path: Path, net: caffe_pb2.NetParameter, arrays: Mapping[str, Sequence[Array]], dialect: str | Dialect
) -> None:
    """Write a .caffemodel: the net's layers, and their parameters' values by name, in the dialect's field numbers.

    Whole or not at all. Raises WeightsError for a field that the dialect has not, FileAccessError.
    """
    dialect = load(dialect)
    bare = caffe_pb2.NetParameter()
    bare.CopyFrom(net)
    for layer in bare.layer:
        del layer.blobs[:]
    encode(bare, dialect)  # before anything is written
    blobs = [list(arrays.get(layer.name, ())) for layer in bare.layer]
    binaryproto.write_weights(path, bare, blobs, encode=lambda message: encode(message, dialect))


def write_v1_weights(
    path: Path, net: caffe_pb2.NetParameter, arrays: Mapping[str, Sequence[Array]], dialect: str | Dialect
) -> None:
    """Write a .caffemodel in the form of 2014: ``net`` as :func:`as_v1` gives it, values with four sizes each.

    Raises WeightsError for values of more than four axes, FileAccessError.
    """
    whole = caffe_pb2.NetParameter()
    whole.CopyFrom(net)
    for layer in whole.layers:
        del layer.blobs[:]
        for values in arrays.get(layer.name, ()):
            if values.ndim > 4:
                raise WeightsError(
                    f"parameters in version 1 have at most 4 axes; got {list(values.shape)}",
                    file=path,
                    layer=layer.name,
                )
            blob = layer.blobs.add()
            blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - values.ndim) + values.shape
            blob.data.extend(np.asarray(values, np.float32).ravel())
    encoded = encode(whole, load(dialect))
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(encoded)


def encode(message: Message, dialect: Dialect) -> bytes:
    """A message's bytes in the dialect's field and enum numbers. Raises WeightsError for what it has not."""
    known = dialect.fields_of(message.DESCRIPTOR)  # type: ignore[arg-type]
    data = message.SerializePartialToString()
    fields: list[tuple[int, bytes]] = []
    children: dict[str, int] = {}
    kinds = dialect.kinds.get(message_name(message.DESCRIPTOR), {})
    for number, kind, value, first, last in wire.fields(wire.Source(data), 0, len(data)):
        field = message.DESCRIPTOR.fields_by_number[number]
        if field.name not in known:
            name = getattr(message, "name", "")
            raise WeightsError(
                f"{message_name(message.DESCRIPTOR)}.{field.name} is no field of {dialect.title}",
                layer=name if message.DESCRIPTOR.name == "LayerParameter" else None,
                fix="caffe lint shows all that it has not",
            )
        payload = data[first:last]
        if field.name in kinds:
            if kinds[field.name] != "none":
                fields += _as_kind(message, field, kinds[field.name], known[field.name], fields)
            continue
        if field.message_type is not None:
            inner = getattr(message, field.name)
            if hasattr(inner, "add"):
                i = children.get(field.name, 0)
                children[field.name] = i + 1
                inner = inner[i]
            payload = encode(inner, dialect)
        elif field.enum_type is not None and kind == wire.VARINT:
            payload = wire.encode_varint(_enum(field, value, dialect))
        new = known[field.name]
        size = wire.encode_varint(len(payload)) if kind == wire.LENGTH else b""
        fields.append((new, wire.tag(new, kind) + size + payload))
    return b"".join(part for _, part in sorted(fields, key=lambda item: item[0]))


def _as_kind(
    message: Message, field: Any, kind: str, number: int, found: list[tuple[int, bytes]]
) -> list[tuple[int, bytes]]:
    """All values of a field as whole numbers or as floats, the first time that it comes."""
    if any(number == other for other, _ in found):
        return []
    values = getattr(message, field.name)
    made = []
    for value in values if hasattr(values, "append") else [values]:
        if kind == "float":
            made.append((number, wire.tag(number, wire.FIXED32) + struct.pack("<f", value)))
        elif value == int(value):
            made.append((number, wire.tag(number, wire.VARINT) + wire.encode_varint(int(value))))
        else:
            raise WeightsError(
                f"{message_name(message.DESCRIPTOR)}.{field.name} must be whole; got {value:g}"
            )
    return made


def _enum(field: Any, value: int, dialect: Dialect) -> int:
    name = field.enum_type.values_by_number[value].name
    known = dialect.enums.get(message_name(field.enum_type))
    if known is None:
        return value
    if name not in known:
        raise WeightsError(
            f"{field.name}: {name} is no value of {dialect.title}, which has {', '.join(known)}"
        )
    return known[name]


_BLOB_FIELDS = {
    "name": "param",
    "share_mode": "blob_share_mode",
    "lr_mult": "blobs_lr",
    "decay_mult": "weight_decay",
}


def as_v1(net: caffe_pb2.NetParameter, dialect: str | Dialect = "bvlc") -> caffe_pb2.NetParameter:
    """The net with ``layers`` of version 1, and its inputs as fields. Raises NetError for what that has not."""
    dialect = load(dialect)
    types = dialect.enums["V1LayerParameter.LayerType"]
    names = {new: old for old, new in reversed(TYPES.items()) if old in types}
    made = caffe_pb2.NetParameter()
    made.CopyFrom(net)
    del made.layer[:]
    for layer in net.layer:
        if layer.type == "Input":
            _add_inputs(made, layer)
            continue
        old = made.layers.add()
        if layer.type not in names:
            raise NetError(
                "version 1 has no such type", layer=layer.name, type=layer.type, field="type",
                fix=(
                    "Fold it into the layer before with fold=True (--fold)"
                    if layer.type in ("BatchNorm", "Scale")
                    else f"It has {', '.join(sorted(filter(None, names)))}"
                ),
            )  # fmt: skip
        old.type = caffe_pb2.V1LayerParameter.LayerType.Value(names[layer.type])  # type: ignore[assignment]
        for field, value in layer.ListFields():
            if field.name in ("type", "blobs"):
                continue
            _copy(layer, old, field, value, dialect)
    if made.input_shape and all(len(shape.dim) == 4 for shape in made.input_shape):
        made.input_dim.extend(d for shape in made.input_shape for d in shape.dim)
        made.ClearField("input_shape")
    return made


def _add_inputs(net: caffe_pb2.NetParameter, layer: caffe_pb2.LayerParameter) -> None:
    shapes = layer.input_param.shape
    for i, top in enumerate(layer.top):
        net.input.append(top)
        net.input_shape.add().CopyFrom(shapes[0 if len(shapes) == 1 else i])


def _copy(
    layer: caffe_pb2.LayerParameter, old: caffe_pb2.V1LayerParameter, field: Any, value: Any, dialect: Dialect
) -> None:
    name = field.name
    if name == "param":
        for new, before in _BLOB_FIELDS.items():
            if any(spec.HasField(new) for spec in value):
                getattr(old, before).extend(getattr(spec, new) for spec in value)
    elif name == "phase":
        if not layer.include and not layer.exclude:
            old.include.add().phase = value
    elif name == "propagate_down" or name not in dialect.fields_of(old.DESCRIPTOR):  # type: ignore[arg-type]
        raise NetError("is no field of version 1", layer=layer.name, type=layer.type, field=name)
    elif hasattr(value, "extend"):
        getattr(old, name).extend(value)
    elif field.message_type is not None:
        getattr(old, name).CopyFrom(value)
    else:
        setattr(old, name, value)
