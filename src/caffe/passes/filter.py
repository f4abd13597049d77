"""Which layers belong to a net in a given state: phase, level and stages against their rules."""

from __future__ import annotations

from caffe.errors import NetError
from caffe.formats.prototxt import NetFile
from caffe.proto import caffe_pb2


def meets(state: caffe_pb2.NetState, rule: caffe_pb2.NetStateRule) -> bool:
    """Whether a state meets every condition of a rule."""
    if rule.HasField("phase") and rule.phase != state.phase:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    stages = set(state.stage)
    return stages.issuperset(rule.stage) and stages.isdisjoint(rule.not_stage)


def included(layer: caffe_pb2.LayerParameter, state: caffe_pb2.NetState) -> bool:
    """Whether a layer belongs to a net in this state. Raises NetError for both kinds of rules."""
    if layer.include and layer.exclude:
        raise NetError(
            "must have include rules or exclude rules; got both",
            layer=layer.name,
            type=layer.type,
            field="exclude",
            fix="Keep one kind.",
        )
    if layer.include:
        return any(meets(state, rule) for rule in layer.include)
    return not any(meets(state, rule) for rule in layer.exclude)


def filter_net(net: NetFile) -> None:
    """Leave out, in place, the layers that ``net.param.state`` excludes. Raises NetError."""
    kept, lines = [], []
    for i, layer in enumerate(net.param.layer):
        line = net.lines[i] if i < len(net.lines) else None
        try:
            keep = included(layer, net.param.state)
        except NetError as error:
            raise error.located(file=net.file, line=line) from None
        if keep:
            kept.append(layer)
            if line is not None:
                lines.append(line)
    if len(kept) == len(net.param.layer):
        return
    copies = []
    for layer in kept:
        copy = caffe_pb2.LayerParameter()
        copy.CopyFrom(layer)
        copies.append(copy)
    del net.param.layer[:]
    net.param.layer.extend(copies)
    net.lines = lines
