"""A net for export, from files: data layers become inputs, and what only judges results is left away in TEST."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from caffe.errors import InputError, MissingFileError, WeightsError
from caffe.export.graph import JUDGES
from caffe.layer_factory import layer_class
from caffe.net import build
from caffe.net.net import Net
from caffe.passes.filter import included
from caffe.proto import caffe_pb2

PathLike = str | os.PathLike[str]


def load(
    prototxt: PathLike,
    weights: PathLike | None,
    phase: int,
    shapes: Mapping[str, Sequence[int]] | None = None,
    random_weights: bool = False,
) -> Net:
    """The net of a prototxt with its weights. ``shapes`` are those of data layers' tops, by name.

    Raises InputError for a shape that is missing or of no data layer, WeightsError where the weights lack a layer's, or
    are not given at all, without ``random_weights``; and what building a net raises.
    """
    definition = build.read(os.fspath(prototxt))
    given = dict(shapes or {})
    state = caffe_pb2.NetState(phase=phase)  # type: ignore[arg-type]
    dropped = []
    for i, layer in enumerate(definition.param.layer):
        if not included(layer, state):
            continue
        if layer.type in ("Input", "DummyData", "Parameter", "Python", "Silence"):
            if layer.type == "Input":
                _reshape(layer, given)
            continue
        kind = layer_class(layer.type)
        if phase == caffe_pb2.TEST and (kind.is_loss or layer.type in JUDGES):
            dropped.append(i)
        elif kind.source and not layer.bottom and layer.type != "ContinuationIndicator":
            _as_input(layer, given, definition.file)
    if given:
        raise InputError(
            f"no data layer or input of this phase makes '{next(iter(given))}'",
            file=definition.file,
            field="shape",
        )
    definition.lines = [line for i, line in enumerate(definition.lines) if i not in dropped]
    if dropped:
        kept = [layer for i, layer in enumerate(definition.param.layer) if i not in dropped]
        kept_copy = [caffe_pb2.LayerParameter.FromString(layer.SerializeToString()) for layer in kept]
        del definition.param.layer[:]
        definition.param.layer.extend(kept_copy)
    if weights is None:
        if not random_weights:
            raise WeightsError(
                "the net has no weights", file=prototxt, fix="Give a .caffemodel, or --random-weights"
            )
        return Net(definition, phase)
    if not os.path.exists(weights):
        raise MissingFileError("does not exist", file=weights)
    net = Net(definition, phase)
    report = net.copy_from(weights)
    if report.kept and not random_weights:
        raise WeightsError(
            f"there are no weights for {', '.join(report.kept[:8])}{' …' if len(report.kept) > 8 else ''}",
            file=weights,
            fix="Give the weights of this net, or --random-weights to leave those as their fillers made them",
        )
    return net


def _reshape(layer: caffe_pb2.LayerParameter, given: dict[str, Sequence[int]]) -> None:
    shapes = [list(s.dim) for s in layer.input_param.shape]
    shapes = shapes * len(layer.top) if len(shapes) == 1 else shapes
    if not any(top in given for top in layer.top):
        return
    shapes = shapes or [[]] * len(layer.top)
    del layer.input_param.shape[:]
    for top, shape in zip(layer.top, shapes):
        layer.input_param.shape.add().dim.extend(given.pop(top, shape))


def _as_input(layer: caffe_pb2.LayerParameter, given: dict[str, Sequence[int]], file: str | None) -> None:
    """Make a data layer an Input of the shapes given; those of labels are its number of items by default."""
    first = given.get(layer.top[0]) or _guess(layer)
    if first is None:
        raise InputError(
            f"the shape of '{layer.top[0]}', which the data layer reads, is not known",
            file=file,
            layer=layer.name,
            type=layer.type,
            fix=f"Give it: --shape={layer.top[0]}:1,3,224,224",
        )
    made = caffe_pb2.LayerParameter(name=layer.name, type="Input", top=layer.top)
    made.include.extend(layer.include)
    made.exclude.extend(layer.exclude)
    for i, top in enumerate(layer.top):
        shape = given.pop(top, None) or (first if i == 0 else first[:1])
        made.input_param.shape.add().dim.extend(shape)
    layer.CopyFrom(made)


def _guess(layer: caffe_pb2.LayerParameter) -> list[int] | None:
    """One item's shape where the layer says it: a crop, or MemoryData's sizes."""
    memory, p = layer.memory_data_param, layer.transform_param
    if memory.height and memory.width:
        return [1, memory.channels, memory.height, memory.width]
    size = p.crop_size or layer.data_param.crop_size or layer.window_data_param.crop_size
    image = layer.image_data_param
    height, width = size or image.new_height, size or image.new_width
    if not height or not width:
        return None
    gray = len(p.mean_value) == 1 or (layer.type == "ImageData" and not image.is_color)
    return [1, 1 if gray and layer.type == "ImageData" else 3, height, width]
