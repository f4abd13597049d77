"""Old definitions brought to the present form: nets of versions 0 and 1, net inputs, solver types."""

from __future__ import annotations

from caffe.errors import NetError, SolverError
from caffe.formats.prototxt import NetFile
from caffe.passes import upgrade_v0, upgrade_v1
from caffe.proto import caffe_pb2

SOLVER_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
"""The solvers, in the order of the numbers that ``solver_type`` had."""


def upgrade_net(net: NetFile) -> bool:
    """Bring a net of any version to the present form, in place; returns whether anything changed.

    ``net.lines`` stays parallel to ``net.param.layer``. Raises NetError for what cannot be brought over.
    """
    steps = (
        upgrade_v0.upgrade,
        upgrade_v1.upgrade_transformations,
        upgrade_v1.upgrade,
        upgrade_input,
        upgrade_batch_norm,
    )
    changed = False
    for step in steps:
        changed |= step(net)
    return changed


def upgrade_input(net: NetFile) -> bool:
    """Turn ``input`` with ``input_shape`` or ``input_dim`` into an Input layer at the front, in place."""
    param = net.param
    if not param.input:
        return False
    made = {top for layer in param.layer for top in layer.top}
    if not param.input_shape and not param.input_dim and made.issuperset(param.input):
        param.ClearField("input")  # beside an Input layer that has them
        return True
    shapes = [list(shape.dim) for shape in param.input_shape]
    if not shapes:
        sizes = list(param.input_dim)
        shapes = [sizes[i : i + 4] for i in range(0, len(sizes), 4)]
    if len(shapes) != len(param.input) or any(not s for s in shapes) or _odd(param):
        raise NetError(
            f"must have one input_shape, or four input_dim, for each input; got {len(param.input)} inputs,"
            f" {len(param.input_shape)} input_shape and {len(param.input_dim)} input_dim",
            file=net.file,
            line=net.input_line,
            field="input",
        )
    rest = [_copy(layer) for layer in param.layer]
    del param.layer[:]
    layer = param.layer.add(name="input", type="Input", top=param.input)
    for shape in shapes:
        layer.input_param.shape.add(dim=shape)
    param.layer.extend(rest)
    for name in ("input", "input_shape", "input_dim"):
        param.ClearField(name)
    net.lines = [net.input_line, *net.lines]
    return True


def _odd(param: caffe_pb2.NetParameter) -> bool:
    return not param.input_shape and len(param.input_dim) % 4 != 0


def _copy(layer: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    copy = caffe_pb2.LayerParameter()
    copy.CopyFrom(layer)
    return copy


def upgrade_batch_norm(net: NetFile) -> bool:
    """Keep BatchNorm's three statistics from being learned, where a net has ParamSpecs for them, in place."""
    changed = False
    for layer in net.param.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:
                changed |= (spec.lr_mult, spec.decay_mult) != (0, 0)
                spec.lr_mult = spec.decay_mult = 0
    return changed


def upgrade_solver(param: caffe_pb2.SolverParameter) -> bool:
    """Bring a solver definition to the present form, in place: ``solver_type`` becomes ``type``.

    Returns whether anything changed. Raises SolverError if both are given.
    """
    if not param.HasField("solver_type"):
        return False
    if param.HasField("type"):
        raise SolverError(
            f"must be given as type or as solver_type; got both, '{param.type}' and"
            f" {caffe_pb2.SolverParameter.SolverType.Name(param.solver_type)}",
            field="solver_type",
            fix="Keep type.",
        )
    param.type = SOLVER_TYPES[param.solver_type]
    param.ClearField("solver_type")
    return True
