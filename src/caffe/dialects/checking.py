"""What a dialect would refuse of a net: types, fields, values and limits, each with its layer and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from caffe.dialects.dialect import Dialect, Limit, message_name
from caffe.dialects.library import having, load
from caffe.formats.prototxt import NetFile, Source
from caffe.passes.filter import filter_net
from caffe.proto import caffe_pb2

Shapes = Mapping[str, tuple[int, ...]]

_WINDOWS = ("convolution_param", "pooling_param", "deformable_convolution_param")
_SIDES = {
    "kernel": ("kernel_size", "kernel_h", "kernel_w"),
    "stride": ("stride", "stride_h", "stride_w"),
    "pad": ("pad", "pad_h", "pad_w"),
    "dilation": ("dilation",),
}
_NOTHING_GIVEN = {"stride": 1, "pad": 0, "dilation": 1}


@dataclass(frozen=True)
class Finding:
    """Something that a dialect would refuse. ``layer`` is empty for the net's own fields."""

    layer: str
    type: str
    line: int | None
    field: str
    says: str
    fix: str = ""
    source: str = ""

    def __str__(self) -> str:
        place = f"layer '{self.layer}' ({self.type})" if self.layer or self.type else "the net"
        text = f"{place}: {self.field + ' ' if self.field else ''}{self.says}"
        text += f". {self.fix}" if self.fix else ""
        return text + (f" [{self.source}]" if self.source else "")


def check(
    dialect: Dialect, net: caffe_pb2.NetParameter, lines: Sequence[int] = (), shapes: Shapes | None = None
) -> list[Finding]:
    """What of a net, of the present form (``layer``), a dialect would refuse; in the net's order.

    ``lines`` are those of the layers. ``shapes`` of the net's blobs are needed for limits on sizes; without
    them those are not looked at.
    """
    findings: list[Finding] = []
    if dialect.deploy:
        file = NetFile(caffe_pb2.NetParameter(), lines=list(lines))
        file.param.CopyFrom(net)
        file.param.state.phase = caffe_pb2.TEST
        filter_net(file)
        net, lines = file.param, file.lines
    top = caffe_pb2.NetParameter()
    top.CopyFrom(net)
    del top.layer[:]
    del top.layers[:]
    top.ClearField("state")  # what a net is built for, not what it holds
    for path, says in _strange(dialect, top):
        findings.append(Finding("", "", None, path, says))
    findings += _inputs(dialect, net, lines)
    for i, layer in enumerate(net.layer):
        line = lines[i] if i < len(lines) else None
        findings += (replace(each, line=line) for each in check_layer(dialect, layer, shapes))
    return findings


def check_layer(
    dialect: Dialect, layer: caffe_pb2.LayerParameter, shapes: Shapes | None = None
) -> Iterator[Finding]:
    """What of one layer a dialect would refuse."""
    if not dialect.has(layer.type):
        yield Finding(
            layer.name, layer.type, None, "type", f"is no layer type of {dialect.title}", _others(layer)
        )
        return
    bare = layer
    if layer.blobs:
        bare = caffe_pb2.LayerParameter()
        bare.CopyFrom(layer)
        del bare.blobs[:]
    for path, says in _strange(dialect, bare):
        yield Finding(layer.name, layer.type, None, path, says)
    for limit in dialect.limits:
        if layer.type in limit.types:
            problem = _beyond(limit, layer, shapes)
            if problem:
                yield Finding(layer.name, layer.type, None, limit.of, problem, limit.says, limit.source)


def located(findings: Sequence[Finding], text: str) -> list[Finding]:
    """The findings with the line of the field, where the layer's text has it, in place of the layer's."""
    source = Source(text)
    rows = text.split("\n")
    moved = []
    for each in findings:
        block = source.layer_at(each.line) if each.line is not None else None
        names = _SIDES.get(each.field, (each.field.split(".")[-1].split("[")[0],))
        pattern = re.compile(rf"^[^#]*?\b(?:{'|'.join(map(re.escape, names))})\s*[:{{]")
        first, last = (block.line, block.last) if block else (1, len(rows))
        if block or not each.layer:
            for number in range(first, last + 1):
                if each.field and pattern.match(rows[number - 1]):
                    each = replace(each, line=number)
                    break
        moved.append(each)
    return moved


def _others(layer: caffe_pb2.LayerParameter) -> str:
    names = [n for n in having(layer.type) if not load(n).deploy and n != "caffe-torch"]
    return f"It is one of {', '.join(names)}" if names else ""


def _strange(dialect: Dialect, message: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and problem of the fields and enum values that the dialect does not have, outermost only."""
    known = dialect.fields_of(message.DESCRIPTOR)
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        if field.name not in known:
            yield here, f"is no field of {dialect.title}"
            continue
        repeated = hasattr(value, "append") or hasattr(value, "add")
        values = value if repeated else [value]
        if field.message_type is not None:
            for i, inner in enumerate(values):
                yield from _strange(dialect, inner, f"{here}[{i}]" if repeated else here)
        elif field.enum_type is not None:
            has = dialect.enums.get(message_name(field.enum_type))
            for number in values:
                name = field.enum_type.values_by_number[number].name
                if has is not None and name not in has:
                    yield here, f"{name} is no value of {dialect.title}, which has {', '.join(has)}"


def _inputs(dialect: Dialect, net: caffe_pb2.NetParameter, lines: Sequence[int]) -> Iterator[Finding]:
    if dialect.inputs == "layer" and net.input:
        yield Finding("", "", None, "input", "must be a layer of type Input", "caffe convert writes it so")
    if dialect.inputs == "fields":
        for i, layer in enumerate(net.layer):
            if layer.type == "Input":
                line = lines[i] if i < len(lines) else None
                yield Finding(
                    layer.name, layer.type, line, "type", "must be written as fields of the net: input and"
                    " input_shape", "caffe convert writes it so",
                )  # fmt: skip


def _beyond(limit: Limit, layer: caffe_pb2.LayerParameter, shapes: Shapes | None) -> str:
    """What is wrong by a limit, or nothing."""
    values = _values(limit.of, layer, shapes)
    if limit.given is not None:
        there = bool(values)
        if there == limit.given:
            return ""
        return "must be given" if limit.given else "must not be given"
    for value in values:
        shown = value if isinstance(value, str) else f"{value:g}"
        if limit.among is not None and value not in limit.among:
            return f"must be {' or '.join(map(str, limit.among))}; got {shown}"
        if isinstance(value, (int, float)):
            if limit.most is not None and value > limit.most:
                return f"must be at most {limit.most:g}; got {shown}"
            if limit.least is not None and value < limit.least:
                return f"must be at least {limit.least:g}; got {shown}"
    return ""


def _values(of: str, layer: caffe_pb2.LayerParameter, shapes: Shapes | None) -> list[Any]:
    """The values a limit is on; none where there is nothing to look at."""
    if of in _SIDES:
        for name in _WINDOWS:
            if layer.HasField(name):  # type: ignore[arg-type]
                return _sides(of, getattr(layer, name))
        return []
    if of in ("bottoms", "tops"):
        return [len(layer.bottom if of == "bottoms" else layer.top)]
    side, _, quantity = of.partition(".")
    if side in ("bottom", "top"):
        names = layer.bottom if side == "bottom" else layer.top
        of_names = [shapes[n] for n in names if n in shapes] if shapes is not None else []
        return [size for shape in of_names for size in _sizes(quantity, shape)]
    message: Any = layer
    *parents, last = of.split(".")
    for name in parents:
        if not message.HasField(name):
            return []
        message = getattr(message, name)
    descriptor = message.DESCRIPTOR.fields_by_name[last]
    value = getattr(message, last)
    values = list(value) if hasattr(value, "append") or hasattr(value, "add") else [value]
    if len(values) == 1 and not hasattr(value, "append") and not message.HasField(last):
        return []
    if descriptor.enum_type is not None:
        return [descriptor.enum_type.values_by_number[v].name for v in values]
    return values


def _sides(of: str, param: Any) -> list[int]:
    if of == "kernel" and getattr(param, "global_pooling", False):
        return []
    sides: list[int] = []
    for name in _SIDES[of]:
        field = param.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            continue
        value = getattr(param, name)
        if hasattr(value, "append"):
            sides += value
        elif param.HasField(name):
            sides.append(value)
    return sides or ([_NOTHING_GIVEN[of]] if of in _NOTHING_GIVEN else [])


def _sizes(quantity: str, shape: tuple[int, ...]) -> list[int]:
    if quantity == "axes":
        return [len(shape)]
    place = {"batch": 0, "channels": 1, "height": 2, "width": 3}[quantity]
    return [shape[place]] if place < len(shape) else []
