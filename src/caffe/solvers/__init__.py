"""Solvers: ``SGDSolver(solver_file)`` and its siblings, and ``get_solver``, which takes the type from the file."""

from __future__ import annotations

import os

from caffe.proto import caffe_pb2
from caffe.solvers.adadelta import AdaDelta
from caffe.solvers.adagrad import AdaGrad
from caffe.solvers.adam import Adam
from caffe.solvers.nesterov import Nesterov
from caffe.solvers.rmsprop import RMSProp
from caffe.solvers.sgd import SGD
from caffe.solvers.solver import Solver


class SGDSolver(Solver):
    """A solver with the SGD rule, whatever type the file names."""

    rule = SGD


class NesterovSolver(Solver):
    """A solver with Nesterov's rule, whatever type the file names."""

    rule = Nesterov


class AdaGradSolver(Solver):
    """A solver with the AdaGrad rule, whatever type the file names."""

    rule = AdaGrad


class RMSPropSolver(Solver):
    """A solver with the RMSProp rule, whatever type the file names."""

    rule = RMSProp


class AdaDeltaSolver(Solver):
    """A solver with the AdaDelta rule, whatever type the file names."""

    rule = AdaDelta


class AdamSolver(Solver):
    """A solver with the Adam rule, whatever type the file names."""

    rule = Adam


def get_solver(solver_file: str | os.PathLike[str] | caffe_pb2.SolverParameter) -> Solver:
    """The solver that a prototxt describes, of the class its type names. Raises what Solver raises."""
    from caffe.solvers import setup

    _, param = setup.read(solver_file)
    for cls in (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver):
        if cls.rule.__name__ == param.type:
            return cls(solver_file)
    return Solver(solver_file)


__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "NesterovSolver",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "get_solver",
]
