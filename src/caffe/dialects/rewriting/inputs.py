"""Inputs as a layer, or as fields of the net."""

from __future__ import annotations

from caffe.dialects.dialect import Dialect
from caffe.proto import caffe_pb2


def move(net: caffe_pb2.NetParameter, dialect: Dialect, report: list[str]) -> None:
    """Write the inputs as the dialect wants them, in place."""
    if net.input and dialect.inputs == "layer":
        _to_layers(net)
        report.append("the net's fields input and input_shape: as a layer of type Input")
    elif (dialect.inputs == "fields" or not dialect.has("Input")) and any(
        layer.type == "Input" for layer in net.layer
    ):
        _to_fields(net)
        report.append("the layers of type Input: as fields input and input_shape of the net")
    four = all(len(shape.dim) == 4 for shape in net.input_shape)
    if net.input_shape and four and "input_shape" not in dialect.fields.get("NetParameter", {}):
        net.input_dim.extend(d for shape in net.input_shape for d in shape.dim)
        net.ClearField("input_shape")
        report.append("the net's field input_shape: as input_dim")


def _to_layers(net: caffe_pb2.NetParameter) -> None:
    names = {layer.name for layer in net.layer}
    name = next(n for n in ("input", *(f"input_{i}" for i in range(len(names) + 1))) if n not in names)
    made = caffe_pb2.LayerParameter(name=name, type="Input")
    made.top.extend(net.input)
    if net.input_dim:
        for i in range(0, len(net.input_dim), 4):
            made.input_param.shape.add().dim.extend(net.input_dim[i : i + 4])
    else:
        made.input_param.shape.extend(net.input_shape)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)  # type: ignore[arg-type]
    others = [*net.layer]
    del net.layer[:]
    net.layer.add().CopyFrom(made)
    net.layer.extend(others)


def _to_fields(net: caffe_pb2.NetParameter) -> None:
    others = []
    for layer in net.layer:
        if layer.type != "Input":
            others.append(layer)
            continue
        shapes = layer.input_param.shape
        for i, top in enumerate(layer.top):
            net.input.append(top)
            net.input_shape.add().CopyFrom(shapes[0 if len(shapes) == 1 else i])
    copies = [caffe_pb2.LayerParameter.FromString(each.SerializePartialToString()) for each in others]
    del net.layer[:]
    net.layer.extend(copies)
