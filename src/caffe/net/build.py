"""From a file or message to the definition that is wired: upgraded, filtered, with Split layers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from caffe.dialects import meaning
from caffe.dialects.dialect import Dialect
from caffe.errors import InputError, InputTypeError, NetError
from caffe.formats import prototxt
from caffe.limits import guarding
from caffe.net.wiring import Wiring
from caffe.passes.filter import filter_net
from caffe.passes.splits import insert_splits
from caffe.passes.upgrade import upgrade_net
from caffe.proto import caffe_pb2

Source = Any
"""A path, a NetParameter, a NetSpec, or what ``prototxt.read_net`` gives."""


def read(source: Source, dialect: str | Dialect | None = None) -> prototxt.NetFile:
    """The definition a source holds, upgraded to the present form; ``dialect`` says which fork's layers it means.

    Raises MissingFileError, ParseError, UnknownNameError.
    """
    if isinstance(source, prototxt.NetFile):
        definition = source
    elif isinstance(source, (str, os.PathLike)):
        definition = prototxt.read_net(os.fspath(source))
    else:
        if hasattr(source, "to_proto"):
            source = source.to_proto()
        if not isinstance(source, caffe_pb2.NetParameter):
            raise InputTypeError(
                f"The net must be a prototxt's path, a NetParameter or a NetSpec; got {type(source).__name__}"
            )
        param = caffe_pb2.NetParameter()
        param.CopyFrom(source)
        definition = prototxt.NetFile(param)
    upgrade_net(definition)
    meaning.settle(definition, dialect)
    return definition


def wire(
    source: Source,
    phase: int,
    level: int = 0,
    stages: Iterable[str] | None = None,
    dialect: str | Dialect | None = None,
) -> tuple[Wiring, Any]:
    """Wire a net for a phase, level and stages; returns it and its final NetParameter.

    Raises what reading and building raise: all CaffeError, with file, line and layer.
    """
    if phase not in (caffe_pb2.TRAIN, caffe_pb2.TEST):
        raise InputError(f"The phase must be caffe.TRAIN (0) or caffe.TEST (1); got {phase!r}")
    if isinstance(stages, str):
        raise InputTypeError(f"stages must be a list of strings; got the string '{stages}'")
    with guarding(NetError, source if isinstance(source, (str, os.PathLike)) else None):
        definition = read(source, dialect)
        definition.param.state.phase = phase  # type: ignore[assignment]
        definition.param.state.level = level
        if stages is not None:
            del definition.param.state.stage[:]
            definition.param.state.stage.extend(stages)
        filter_net(definition)
        insert_splits(definition)
    return Wiring(definition.param, definition.lines, definition.file), definition.param
