"""What all workers must have in common: solver, net, and the shapes of its parameters, as lines to compare."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from itertools import zip_longest
from typing import TYPE_CHECKING

from google.protobuf import text_format
from google.protobuf.message import Message

from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver

_OF_A_HOST = frozenset({"source", "root_folder", "mean_file"})
"""Fields that name files, which may lie elsewhere on each host."""
_OF_A_WORKER = (
    "device_id",
    "snapshot_prefix",
    "net",
    "train_net",
    "test_net",
    "net_param",
    "train_net_param",
)


def lines(solver: Solver) -> list[str]:
    """The definition, a fact a line."""
    param = caffe_pb2.SolverParameter()
    param.CopyFrom(solver.param)
    for field in (*_OF_A_WORKER, "test_net_param", "weights"):
        param.ClearField(field)  # type: ignore[arg-type]
    net = solver.net.to_proto()
    _forget_places(net)
    shapes = [
        f"parameters of layer '{step.name}': {[list(blob.shape) for blob in step.layer.blobs]}"
        for step in solver.net.steps
        if len(step.layer.blobs)
    ]
    text = text_format.MessageToString(param) + text_format.MessageToString(net)
    return [f"caffe-torch {version('caffe-torch')}", *text.splitlines(), *shapes]


def checksum(lines: list[str]) -> str:
    """A number that differs for different definitions."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def difference(own: list[str], root: list[str]) -> str:
    """The first difference, in words."""
    for mine, theirs in zip_longest((text.strip() for text in own), (text.strip() for text in root)):
        if mine != theirs:
            return f"it has '{mine or 'nothing more'}', worker 0 '{theirs or 'nothing more'}'"
    return ""


def _forget_places(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name in _OF_A_HOST:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                _forget_places(part)
