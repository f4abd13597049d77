"""Arguments of a net's constructor, forward and backward: checked, and said what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from caffe.blob import Blob
from caffe.errors import InputError, InputTypeError, UnknownNameError, close_names
from caffe.proto.assign import whole


def constructor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int, Any, Any]:
    """(phase, level, stages, weights) from either of the two forms."""
    names = ["phase", "level", "stages", "weights"]
    if args and isinstance(args[0], (str, os.PathLike)):
        names = ["weights", "phase"]
    if len(args) > len(names):
        raise InputTypeError(f"Net takes at most {len(names) + 1} arguments here; got {len(args) + 1}")
    given = dict(zip(names, args))
    for name, value in kwargs.items():
        if name not in ("phase", "level", "stages", "weights"):
            raise InputTypeError(
                f"Net takes phase, level, stages and weights; got '{name}'",
                fix=close_names(name, names) or None,
            )
        if name in given:
            raise InputTypeError(f"Net got '{name}' twice")
        given[name] = value
    if "phase" not in given:
        raise InputTypeError("Net needs a phase", fix="Net(network_file, caffe.TEST, weights=…)")
    phase = given["phase"]
    if whole(phase) is None:
        raise InputTypeError(f"The phase must be caffe.TRAIN or caffe.TEST; got {phase!r}")
    weights_file = given.get("weights") or None
    return int(phase), int(given.get("level") or 0), given.get("stages"), weights_file


def by_name(inputs: Sequence[Any], named: Mapping[str, Any], expected: list[str]) -> dict[str, Any]:
    """The arguments of a call as name → array; those without a name are the first inputs. Raises InputError."""
    if len(inputs) > len(expected):
        raise InputError(
            f"The net has {len(expected)} input(s) ({', '.join(expected) or 'none'}); got {len(inputs)} values"
        )
    twice = set(named) & set(expected[: len(inputs)])
    if twice:
        raise InputError(f"The input '{twice.pop()}' was given twice: in its place and by its name")
    values = {**dict(zip(expected, inputs)), **named}
    return {name: v.detach().cpu() if isinstance(v, torch.Tensor) else v for name, v in values.items()}


def fit(blobs: Mapping[str, Blob], values: Mapping[str, Any]) -> None:
    """Give input blobs the shapes of what comes into them; a single number fills a blob as it is."""
    for name, value in values.items():
        shape = np.shape(value)
        if name in blobs and shape and shape != tuple(blobs[name].shape):
            blobs[name].reshape(*shape)


def put(
    blobs: Mapping[str, Blob], values: Mapping[str, Any], expected: list[str], kind: str, half: str
) -> None:
    """Assign arguments of forward or backward to blobs' ``half``: data or diff. Raises InputError, InputTypeError."""
    if set(values) != set(expected):
        raise InputError(
            f"The {kind} arguments must be {', '.join(expected) or 'none'}; got {', '.join(values)}",
            fix=f"Give every {kind} blob of the net by its name, and no other",
        )
    for name, value in values.items():
        blob = blobs[name]
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise InputTypeError(f"The {kind} '{name}' must be numbers; got dtype {array.dtype}")
        if array.ndim and blob.shape and array.shape[0] != blob.shape[0]:
            raise InputError(
                f"The {kind} '{name}' must have the batch size of its blob, {blob.shape[0]}"
                f" (shape {list(blob.shape)}); got {array.shape[0]} (shape {list(array.shape)})",
                fix=f"net.blobs['{name}'].reshape(...) first, or use net.forward_all",
            )
        target = blob.data if half == "data" else blob.diff
        try:
            target[...] = array
        except ValueError:
            raise InputError(
                f"The {kind} '{name}' must fit the blob's shape {list(blob.shape)}; got {list(array.shape)}",
                fix=f"net.blobs['{name}'].reshape(...) first",
            ) from None


def layer_index(name: str, index: Mapping[str, int]) -> int:
    """The place of the layer of that name. Raises InputTypeError, UnknownNameError."""
    if not isinstance(name, str):
        raise InputTypeError(f"A layer is named by a string; got {name!r}")
    if name not in index:
        raise UnknownNameError(
            f"The net has no layer '{name}'",
            fix=close_names(name, index) or f"Layers: {', '.join(index)}",
        )
    return index[name]


def blob_list(blobs: Collection[str], names: Iterable[str] | None) -> list[str]:
    """The names of blobs that are asked for. Raises InputTypeError, UnknownNameError."""
    if names is not None and not isinstance(names, Iterable):
        raise InputTypeError(f"Blobs are given as a list of names; got {names!r}")
    asked = [names] if isinstance(names, str) else list(names or ())
    for name in asked:
        if not isinstance(name, str):
            raise InputTypeError(f"A blob is named by a string; got {name!r}")
        if name not in blobs:
            raise UnknownNameError(
                f"The net has no blob '{name}'", fix=close_names(name, blobs) or f"Blobs: {', '.join(blobs)}"
            )
    return asked
