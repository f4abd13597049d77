"""The files of a converted net: OUT.prototxt and OUT.caffemodel, and in the form of 2014 OUT_v1.…."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from caffe.dialects import Dialect, writing
from caffe.errors import InputError
from caffe.formats import atomic, prototxt
from caffe.proto import caffe_pb2

Arrays = Mapping[str, Sequence[npt.NDArray[Any]]]


def free(out: str | os.PathLike[str], force: bool = False) -> tuple[Path, Path]:
    """The prototxt and the caffemodel that OUT means. Raises InputError where one is there and not ``force``."""
    stem = Path(out)
    if stem.suffix in (".prototxt", ".caffemodel"):
        stem = stem.with_suffix("")
    files = Path(f"{stem}.prototxt"), Path(f"{stem}.caffemodel")
    for path in files:
        if path.exists() and not force:
            raise InputError(
                f"{path} is there already", fix="Give another name, or force (--force) to replace it"
            )
    return files


def save(
    out: str | os.PathLike[str],
    param: caffe_pb2.NetParameter,
    arrays: Arrays,
    dialect: Dialect,
    *,
    v1: bool = False,
    force: bool = False,
) -> tuple[Path, ...]:
    """Write a net's files, its values in the dialect's field numbers; no caffemodel for a net without values.

    The prototxt says the dialect in its first line. All files or none. Raises InputError where one is there already
    and not ``force``, NetError for what version 1 has not, WeightsError for what the dialect has not,
    FileAccessError.
    """
    stem = str(free(out, force)[0])[: -len(".prototxt")]
    forms = {stem: param}
    if v1:
        free(f"{stem}_v1", force)
        forms[f"{stem}_v1"] = writing.as_v1(param, dialect)
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    written = []
    with contextlib.ExitStack() as stack:
        for name, form in forms.items():
            files = free(name, force)
            definition = stack.enter_context(atomic.replacing(files[0]))
            prototxt.write(definition, form)
            text = definition.read_text(encoding="utf-8")
            definition.write_text(f"# dialect: {dialect.name}\n{text}", encoding="utf-8")
            written.append(files[0])
            if arrays:
                weights = stack.enter_context(atomic.replacing(files[1]))
                write = writing.write_v1_weights if form.layers else writing.write_weights
                write(weights, form, arrays, dialect)
                written.append(files[1])
    return tuple(written)
