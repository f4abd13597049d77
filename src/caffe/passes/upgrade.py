"""Upgrades of old definitions."""

from __future__ import annotations

from caffe.formats.prototxt import NetFile
from caffe.proto import caffe_pb2


def upgrade_net(net: NetFile) -> bool:
    """Upgrade a net in place."""
    return False


def upgrade_solver(param: caffe_pb2.SolverParameter) -> bool:
    """Upgrade a solver in place."""
    return False
