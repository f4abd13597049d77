"""Checks of prototxt files: nets and solvers, of any version and fork."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from caffe.doctor.finding import NOTE, PROBLEM, Finding, of_error
from caffe.errors import CaffeError, how_to_install
from caffe.formats import prototxt
from caffe.proto import caffe_pb2

_NET = re.compile(r"^[ \t]*(layers?|input|input_dim|input_shape)\s*[:{]", re.MULTILINE)

# Where a layer names a file to read, and whether that file is a list of more files.
_FILES = (
    ("data_param", "source"),
    ("annotated_data_param", "label_map_file"),
    ("hdf5_data_param", "source"),
    ("image_data_param", "source"),
    ("window_data_param", "source"),
    ("infogain_loss_param", "source"),
    ("data_param", "mean_file"),
    ("transform_param", "mean_file"),
)


def check(path: Path) -> list[Finding]:
    """What stands in the way of a net or solver."""
    try:
        text = prototxt.read_text(path)
    except CaffeError as error:
        return [of_error(error, str(path))]
    return check_net(path) if _NET.search(text) else check_solver(path)


def check_net(path: Path) -> list[Finding]:
    """What stands in the way of a net, in both phases."""
    from caffe.layers.common.python import stand_in
    from caffe.net import build

    file = str(path)
    try:
        original = prototxt.read_net(path)
        net = build.read(path)
    except CaffeError as error:
        return [of_error(error, file)]
    findings = list(_old_version(file, original))
    for i, layer in enumerate(net.param.layer):
        line = net.lines[i] if i < len(net.lines) else 0
        findings += _check_layer(file, line, layer)
    theirs = [p for p in net.param.layer if p.type == "Python" and stand_in(p) is None]
    if theirs:
        text = f"layer '{theirs[0].name}' (Python) has code of its own, which is not run to check the net"
        findings.append(Finding(file, 0, NOTE, text, f"To build the net: caffe time --model={file}"))
    elif not any(f.kind == PROBLEM for f in findings):
        findings += _wire(path)
    return findings


def _old_version(file: str, net: prototxt.NetFile) -> Iterator[Finding]:
    if net.param.layers:
        old = any(layer.HasField("layer") for layer in net.param.layers)
        yield Finding(
            file,
            net.lines[0] if net.lines else 0,
            NOTE,
            f"The net is of version {0 if old else 1} (before 2015); it is upgraded each time it is read",
            f"To keep the upgraded text: caffe upgrade_net_proto_text {file} NEW.prototxt",
        )


def _check_layer(file: str, line: int, layer: caffe_pb2.LayerParameter) -> Iterator[Finding]:
    from caffe.layer_factory import layer_class

    try:
        origin = layer_class(layer.type).origin
    except CaffeError as error:
        yield of_error(error.located(layer=layer.name), file, line)
    else:
        if origin != "BVLC":
            yield Finding(file, line, NOTE, f"{layer.type} is a layer of {origin}; it works here")
    if layer.type == "Python":
        yield from _check_module(file, line, layer)
    for param, field in _FILES:
        if layer.HasField(param):
            name = getattr(getattr(layer, param), field)
            if name and not Path(name).exists():
                yield Finding(
                    file,
                    line,
                    PROBLEM,
                    f"layer '{layer.name}' ({layer.type}): the {field} '{name}' does not exist",
                    f"Paths are relative to the working folder, {Path.cwd()}",
                )
    # A database that does not exist is told of already
    leveldb = layer.data_param.backend == caffe_pb2.DataParameter.LEVELDB
    if layer.type == "Data" and leveldb and Path(layer.data_param.source).exists():
        if importlib.util.find_spec("plyvel") is not None:
            return
        yield Finding(
            file,
            line,
            PROBLEM,
            f"layer '{layer.name}' reads a LevelDB, which needs the package 'plyvel'",
            how_to_install("leveldb"),
        )


def _check_module(file: str, line: int, layer: caffe_pb2.LayerParameter) -> Iterator[Finding]:
    module = layer.python_param.module
    if not _is_found(module) and not (Path(file).parent / f"{module.replace('.', '/')}.py").exists():
        yield Finding(
            file,
            line,
            PROBLEM,
            f"layer '{layer.name}' (Python): the module '{module}' is not found",
            "Put its folder on PYTHONPATH",
        )


def _is_found(module: str) -> bool:
    """Whether Python would find a module; without importing the packages it is in, which would run them."""
    package, _, inner = module.partition(".")
    try:
        spec = importlib.util.find_spec(package) if package else None
    except (ImportError, ValueError):
        return False
    if spec is None or not inner:
        return spec is not None
    place = inner.replace(".", "/")
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return any((f / f"{place}.py").is_file() or (f / place).is_dir() for f in folders)


def _wire(path: Path) -> Iterator[Finding]:
    from caffe.net import build

    told = set()
    for phase in (caffe_pb2.TRAIN, caffe_pb2.TEST):
        try:
            wiring, _ = build.wire(path, phase)
            wiring.close()
        except CaffeError as error:
            finding = of_error(error, str(path))
            if finding not in told:
                told.add(finding)
                yield finding


def check_solver(path: Path) -> list[Finding]:
    """What stands in the way of a solver, and of the nets that it names."""
    from caffe import runtime
    from caffe.solvers import setup
    from caffe.solvers.lr_policy import LRPolicy

    file = str(path)
    try:
        _, param = setup.read(path)
    except CaffeError as error:
        return [of_error(error, file)]
    findings: list[Finding] = []
    checks: list[Any] = [
        lambda: setup.check(param),
        lambda: setup.rule_named(param.type),
        lambda: LRPolicy(param),
    ]
    for run in checks:
        try:
            run()
        except CaffeError as error:
            findings.append(of_error(error.located(file=file), file))
    if param.solver_mode == caffe_pb2.SolverParameter.GPU and not runtime.accelerators():
        findings.append(
            Finding(file, 0, NOTE, "solver_mode is GPU; there is none here, so training runs on the CPU")
        )
    folder = Path(param.snapshot_prefix).parent
    if param.snapshot_prefix and not folder.is_dir():
        fix = f"mkdir -p '{folder}'"
        findings.append(
            Finding(file, 0, PROBLEM, f"The folder of snapshot_prefix, '{folder}', does not exist", fix)
        )
    for name in _nets(param):
        beside = path.parent / name
        if not Path(name).exists() and not beside.exists():
            fix = f"Paths are relative to the working folder, {Path.cwd()}"
            findings.append(Finding(file, 0, PROBLEM, f"The net '{name}' does not exist", fix))
        else:
            findings += check_net(Path(name) if Path(name).exists() else beside)
    return findings


def _nets(param: caffe_pb2.SolverParameter) -> Iterable[str]:
    return dict.fromkeys(name for name in (param.net, param.train_net, *param.test_net) if name)
