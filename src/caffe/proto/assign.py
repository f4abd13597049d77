"""Filling messages from plain Python values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from caffe.errors import LayerError, close_names


def whole(value: Any) -> int | None:
    """An integer, or a float without a fraction (as Python 3's division makes them), as int; else None."""
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return int(value) if float(value).is_integer() else None
    return int(value) if hasattr(value, "__index__") else None


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Set field ``name`` of a message from plain values: dicts for messages, lists for repeated fields.

    One value stands for a list of one, an enum may be named, a shape may be a list of its dimensions.
    Raises LayerError, naming the field, where it does not exist or cannot hold the value.
    """
    field = proto.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise LayerError(
            f"{proto.DESCRIPTOR.name} has no such field",
            field=name,
            fix=close_names(name, proto.DESCRIPTOR.fields_by_name) or None,
        )
    if hasattr(val, "tolist"):  # numpy arrays and scalars
        val = val.tolist()
    if _is_repeated(field):
        for item in _as_items(field, val):
            _assign_item(proto, field, item, repeated=True)
    else:
        _assign_item(proto, field, val, repeated=False)


def _is_repeated(field: Any) -> bool:
    # protobuf 7 drops ``label``, protobuf 4 lacks ``is_repeated``
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if repeated is None else repeated)


def _as_items(field: Any, val: Any) -> list[Any]:
    items = list(val) if isinstance(val, (list, tuple, range)) else [val]
    is_shape = field.message_type is not None and field.message_type.name == "BlobShape"
    if is_shape and items and all(whole(i) is not None for i in items):
        return [items]
    return items


def _assign_item(proto: Any, field: Any, val: Any, repeated: bool) -> None:
    name: str = field.name
    if hasattr(val, "tolist"):
        val = val.tolist()
    if field.message_type is not None:
        _assign_message(proto, field, val, repeated)
        return
    if field.enum_type is not None and isinstance(val, str):
        value = field.enum_type.values_by_name.get(val)
        if value is None:
            raise _bad_value(field, val, close_names(val, field.enum_type.values_by_name))
        val = value.number
    elif isinstance(val, float) and field.cpp_type in _integers(field):
        val = whole(val) if whole(val) is not None else val
    try:
        if repeated:
            getattr(proto, name).append(val)
        else:
            setattr(proto, name, val)
    except (TypeError, ValueError):
        raise _bad_value(field, val) from None


def _integers(field: Any) -> tuple[int, ...]:
    """The kinds of fields that hold integers."""
    enum: int = field.CPPTYPE_ENUM
    return (field.CPPTYPE_INT32, field.CPPTYPE_INT64, field.CPPTYPE_UINT32, field.CPPTYPE_UINT64, enum)


def _assign_message(proto: Any, field: Any, val: Any, repeated: bool) -> None:
    if field.message_type.name == "BlobShape" and isinstance(val, (list, tuple)):
        val = {"dim": list(val)}
    target = getattr(proto, field.name)
    if repeated:
        target = target.add()
    if isinstance(val, Mapping):
        target.SetInParent()
        for key, item in val.items():
            try:
                assign_proto(target, str(key), item)
            except LayerError as error:
                error.field = f"{field.name}.{error.field}"
                raise
    elif getattr(val, "DESCRIPTOR", None) is field.message_type:
        target.CopyFrom(val)
    else:
        raise _bad_value(field, val)


def _bad_value(field: Any, val: Any, hint: str = "") -> LayerError:
    if field.message_type is not None:
        wanted = f"a dict with fields of {field.message_type.name}"
    elif field.enum_type is not None:
        wanted = "one of " + ", ".join(v.name for v in field.enum_type.values)
    else:
        wanted = {
            field.CPPTYPE_BOOL: "true or false",
            field.CPPTYPE_STRING: "a string",
            field.CPPTYPE_FLOAT: "a number",
            field.CPPTYPE_DOUBLE: "a number",
            field.CPPTYPE_UINT32: "an integer from 0",
            field.CPPTYPE_UINT64: "an integer from 0",
        }.get(field.cpp_type, "an integer")
    return LayerError(f"must be {wanted}; got {val!r}", field=field.name, fix=hint or None)
