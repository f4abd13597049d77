"""Before training: the solver's definition read and checked, its train and test nets built."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

from caffe import limits, logs, runtime
from caffe.errors import InputTypeError, MissingFileError, SolverError, close_names
from caffe.formats import hdf5, prototxt
from caffe.net import build
from caffe.net.footprint import Needs
from caffe.net.net import Net
from caffe.passes.upgrade import SOLVER_TYPES, upgrade_solver
from caffe.proto import caffe_pb2, field_use
from caffe.solvers.rule import Rule

SolverParameter = caffe_pb2.SolverParameter
RULES = {name: name.lower() for name in SOLVER_TYPES}
"""Solver type → the module beside this one that has its rule."""


def read(source: str | os.PathLike[str] | SolverParameter) -> tuple[str | None, SolverParameter]:
    """(file, definition) of a path or message, upgraded. Raises MissingFileError, ParseError, InputTypeError."""
    if isinstance(source, (str, os.PathLike)):
        file = os.fspath(source)
        param = prototxt.read_solver(file)
        upgrade_solver(param)
        return file, param
    if not isinstance(source, SolverParameter):
        raise InputTypeError(
            f"The solver must be a prototxt's path or a SolverParameter; got {type(source).__name__}"
        )
    param = SolverParameter()
    param.CopyFrom(source)
    upgrade_solver(param)
    return None, param


def rule_named(name: str) -> type[Rule]:
    """The update rule of a solver type. Raises SolverError with close names."""
    if name not in RULES:
        raise SolverError(
            f"must be one of {', '.join(RULES)}; got '{name}'",
            field="type",
            fix=close_names(name, RULES) or None,
        )
    rule: type[Rule] = getattr(importlib.import_module(f"caffe.solvers.{RULES[name]}"), name)
    return rule


def check(param: SolverParameter) -> None:
    """Raise SolverError for values that cannot be."""
    nets = [field for field in ("net", "net_param", "train_net", "train_net_param") if param.HasField(field)]
    if len(nets) != 1:
        raise SolverError(
            "A solver must name its training net exactly once, by one of net, net_param, train_net, train_net_param;"
            f" got {' and '.join(nets) or 'none'}",
            field=nets[1] if len(nets) > 1 else "net",
            fix='For example net: "train_val.prototxt"' if not nets else "Keep one of them",
        )
    field_use.check_solver(param)
    for descriptor, value in param.ListFields():
        if descriptor.cpp_type in (descriptor.CPPTYPE_FLOAT, descriptor.CPPTYPE_DOUBLE):
            numbers = [value] if isinstance(value, float) else value
            for number in numbers:
                if not math.isfinite(number):
                    raise SolverError(f"must be a finite number; got {number:g}", field=descriptor.name)
    for field in ("average_loss", "iter_size"):
        if getattr(param, field) < 1:
            raise SolverError(f"must be at least 1; got {getattr(param, field)}", field=field)
    for field in ("max_iter", "display", "snapshot", "test_interval"):
        if getattr(param, field) < 0:
            raise SolverError(f"must be at least 0; got {getattr(param, field)}", field=field)
    for i, count in enumerate(param.test_iter):
        if count < 1:
            raise SolverError(f"must be at least 1; got {count} for test net {i}", field="test_iter")
    if param.lr_policy == "multistep" and list(param.stepvalue) != sorted(param.stepvalue):
        values = ", ".join(map(str, param.stepvalue))
        logs.warning(f"stepvalue should grow; got {values}: a step is taken once those before it were")


def prepare_prefix(param: SolverParameter, file: str | None) -> None:
    """Settle where snapshots go, and that they can be written there, before training starts.

    Without ``snapshot_prefix`` it is the solver file's name without ending; a folder gets that name appended.
    """
    stem = Path(file).stem if file else "solver"
    if not param.snapshot_prefix:
        if not param.snapshot:
            param.snapshot_prefix = str(Path(file).with_suffix("")) if file else stem
            return
        param.snapshot_prefix = str(Path(file).with_suffix("")) if file else stem
    elif Path(param.snapshot_prefix).is_dir():
        param.snapshot_prefix = str(Path(param.snapshot_prefix) / stem)
    if not param.snapshot or not runtime.root_solver():
        return
    folder = Path(param.snapshot_prefix).parent
    with limits.guarding(SolverError, field="snapshot_prefix"):
        limits.check_output(param.snapshot_prefix)
    if not folder.is_dir():
        raise SolverError(
            f"Snapshots cannot be written: the folder '{folder}' does not exist",
            field="snapshot_prefix",
            fix=f"Create it (mkdir -p '{folder}') or change snapshot_prefix",
        )
    probe = Path(f"{param.snapshot_prefix}.writable-{os.getpid()}")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SolverError(
            f"Snapshots cannot be written to '{folder}': {error.strerror}",
            field="snapshot_prefix",
            fix="Change its permissions or snapshot_prefix",
        ) from None


def check_net(param: SolverParameter, rule: Rule, net: Net) -> None:
    """Raise SolverError where memory cannot hold what training this net takes, WeightsError where snapshots cannot.

    What is counted is taken in any mode: parameters, their gradients and the rule's history.
    """
    if param.snapshot and param.snapshot_format == SolverParameter.HDF5:
        hdf5.check_names((step.name, len(step.layer.blobs)) for step in net.steps)
    needs = Needs()
    needs.add(net.steps, 2 + rule.slots)
    needs.blobs = 0
    _refuse(needs, rule, None, "make it smaller, train with SGD")


def check_memory(rule: Rule, net: Net, test_nets: Sequence[Net], file: str | None) -> None:
    """Raise SolverError where memory cannot hold that and all blobs, which training keeps unless it checkpoints."""
    needs = Needs()
    needs.add(net.steps, 2 + rule.slots)
    for test_net in test_nets:
        needs.add(test_net.steps)
    _refuse(needs, rule, file, "make the batch smaller, train with --checkpoint_activations")


def _refuse(needs: Needs, rule: Rule, file: str | None, fix: str) -> None:
    blobs = f"{limits.readable(needs.blobs)} of blobs; " if needs.blobs else ""
    needs.check(
        SolverError,
        f"training with {type(rule).__name__} ({blobs}{limits.readable(needs.parameters)} of parameters, gradients"
        f" and {rule.slots} histories)",
        f"{fix}, or set CAFFE_MAX_MEMORY",
        file,
    )


def _locate(path: str, solver_file: str | None) -> str:
    """A net's path: as it is from the working folder, else from the solver file's folder."""
    if not Path(path).exists() and solver_file is not None:
        beside = Path(solver_file).parent / path
        if beside.exists():
            return str(beside)
        last = Path(solver_file).parent / Path(path).name
        if last.exists():
            logs.info(f"{path} is not there; taking {last}")
            return str(last)
    return path


def _net(
    param: SolverParameter, source: object, phase: int, states: list[caffe_pb2.NetState], file: str | None
) -> Net:
    if isinstance(source, str):
        source = _locate(source, file)
    definition = build.read(source)
    state = caffe_pb2.NetState()
    state.phase = phase  # type: ignore[assignment]
    state.MergeFrom(definition.param.state)
    state.phase = phase  # type: ignore[assignment]
    for extra in states:
        state.MergeFrom(extra)
    definition.param.state.CopyFrom(state)
    return Net(definition, state.phase, level=state.level, stages=list(state.stage))


def train_net(param: SolverParameter, file: str | None) -> Net:
    """The training net, with the ``weights`` the solver names. Raises what building a net raises."""
    source: object = next(
        getattr(param, f) for f in ("train_net_param", "train_net", "net_param", "net") if param.HasField(f)
    )
    field = next(f for f in ("train_net", "net", "train_net_param", "net_param") if param.HasField(f))
    try:
        net = _net(param, source, caffe_pb2.TRAIN, [param.train_state], file)
    except MissingFileError as error:
        raise error.located(field=field) from None
    for entry in param.weights:
        load_weights(net, entry)
    return net


def load_weights(net: Net, files: str) -> None:
    """Copy parameters from a comma-separated list of weight files, saying what was matched."""
    for path in files.split(","):
        if path.strip():
            logs.info(f"Finetuning from {path.strip()}")
            report = net.copy_from(path.strip())
            logs.info(f"Weights of {path.strip()}: {report}")


def test_nets(param: SolverParameter, file: str | None) -> list[Net]:
    """The test nets, in the original's order: test_net_param, test_net, then net for the remaining states."""
    generic = int(param.HasField("net_param")) + int(param.HasField("net"))
    specific = len(param.test_net_param) + len(param.test_net)
    instances = len(param.test_iter) - specific if generic else 0
    if instances < 0 or (not generic and len(param.test_iter) != specific):
        raise SolverError(
            f"must be given once for each of the {specific} test nets; got {len(param.test_iter)}",
            field="test_iter",
            fix="Add one test_iter for each test_net",
        )
    count = specific + instances
    if param.test_state and len(param.test_state) != count:
        raise SolverError(
            f"must be given once for each of the {count} test nets or not at all; got {len(param.test_state)}",
            field="test_state",
        )
    if not count:
        if param.test_interval:
            raise SolverError(
                f"test_interval is {param.test_interval}, but no test net has a test_iter",
                field="test_iter",
                fix="Add test_iter: N, the number of test batches",
            )
        return []
    if param.test_interval <= 0:
        raise SolverError(
            f"must be at least 1 for test nets; got {param.test_interval}", field="test_interval"
        )
    sources: list[object] = [*param.test_net_param, *param.test_net]
    sources += [param.net_param if param.HasField("net_param") else param.net] * instances
    nets = []
    for i, source in enumerate(sources):
        states = [param.test_state[i]] if param.test_state else []
        nets.append(_net(param, source, caffe_pb2.TEST, states, file))
    return nets
