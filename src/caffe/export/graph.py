"""A net as a graph of layers: what every way out starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from caffe.blob import Blob, Shape
from caffe.errors import InputError, LayerError, UnknownNameError
from caffe.layer import Layer
from caffe.net.graph import Node as PureNode
from caffe.net.net import Net
from caffe.net.sharing import Param as Learnable
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

JUDGES = {
    "Accuracy",
    "BboxAccuracy",
    "DetectionEvaluate",
    "DetectionGroupAccuracy",
    "EltwiseAccuracy",
    "EvalDetection",
    "HDF5Output",
    "ImageOutput",
    "LabelsequenceAccuracy",
    "SegAccuracy",
    "SegmentationEvaluate",
    "Silence",
}
"""Layers that only judge, write down or swallow what a net finds."""

AUTOMATIC = "(automatic)"
"""The blob of a top that the prototxt does not name."""


@dataclass
class Param:
    """A parameter of a layer."""

    name: str
    tensor: torch.Tensor
    """Of the blob's shape, in the net's own memory. Layers that share a parameter have the same memory."""
    learns: bool
    statistic: bool
    lr_mult: float = 1.0
    decay_mult: float = 1.0


@dataclass
class Node:
    """A layer in its place."""

    name: str
    type: str
    layer: Layer
    line: int | None
    bottoms: list[str]
    tops: list[str]
    bottom_shapes: list[Shape]
    top_shapes: list[Shape]
    params: list[Param]
    detached: list[int] = field(default_factory=list)
    """Bottoms that the prototxt lets no gradient through to (``propagate_down: false``)."""
    loss_weights: list[float] = field(default_factory=list)


@dataclass
class Graph:
    """Layers in order. Values are named as in ``net.graph()``: the last of a blob as the blob."""

    name: str
    phase: int
    file: str | None
    inputs: dict[str, Shape]
    outputs: list[str]
    nodes: list[Node]


_NAMES = {
    "BatchNorm": ("running_mean", "running_var", "scale_factor", "weight", "bias"),
    "BN": ("weight", "bias", "running_mean", "running_var"),
    "LSTM": ("weight_input", "bias", "weight_hidden"),
    "Lstm": ("weight_input", "weight_hidden", "bias"),
    "Normalize": ("weight",),
    "Bias": ("bias",),
    "CenterLoss": ("centers",),
}


def _param_names(layer: Layer, count: int) -> list[str]:
    names: Sequence[str] = _NAMES.get(layer.type, ("weight", "bias"))
    if layer.type == "LSTM" and count == 4:
        names = ("weight_input", "bias", "weight_static", "weight_hidden")
    elif layer.type == "Scale" and layer.bottom_count == 2:
        names = ("bias",)  # the factor is a bottom
    return [names[i] if i < len(names) and count <= len(names) else f"param{i}" for i in range(count)]


def graph_of(net: Net, losses: bool | None = None, outputs: Iterable[str] = ()) -> Graph:
    """The net as a graph of what it computes.

    Without ``losses`` (the default for nets of the TEST phase) what judges a result is left away, and what it judged
    becomes an output. Data layers become inputs, where they are still needed. ``outputs`` names more blobs to put
    out. Raises InputError for a net without inputs or outputs, UnknownNameError, and LayerError for a layer that is
    no function of tensors, as a user's Python layer.
    """
    losses = net.phase == caffe_pb2.TRAIN if losses is None else losses
    graph = net.graph()
    for name in outputs:
        if name not in net.blobs:
            raise UnknownNameError(f"The net has no blob '{name}' to put out", file=net.file)
    multipliers = {id(p.blob): p for p in net.learnable}
    nodes: list[Node] = []
    judged: list[str] = []
    learned: set[str] = set()  # values that parameters had a part in
    used: set[str] = set()
    names: dict[str, str] = {}  # by the graph's; the tops of Splits are their bottoms
    for found in graph.nodes:
        layer = found.layer
        bottoms = [names.get(n, n) for n in found.bottoms]
        used.update(bottoms)
        if layer.type == "Split":
            names.update(dict.fromkeys(found.tops, bottoms[0]))
            continue
        if found.kind == "source":
            for top in found.tops:
                if (
                    blob := graph.blob_of[top]
                ) != top:  # an input that is overwritten in place keeps its name
                    names |= {top: blob, blob: f"{blob}@{graph.maker(blob).name}"}
        if found.kind == "source" or layer.type == "Silence":
            continue
        if not losses and (layer.is_loss or layer.type in JUDGES):
            judged += bottoms
            continue
        for i, top in enumerate(found.tops):
            if graph.blob_of[top] == AUTOMATIC:
                names[top] = f"{layer.name}_loss{i or ''}"
        tops = [names.get(n, n) for n in found.tops]
        params = _params(found, {**graph.parameters, **graph.statistics}, multipliers)
        if params or learned.intersection(bottoms):
            learned.update(tops)
        shapes = [graph.shapes[n] for n in found.bottoms], [graph.shapes[n] for n in found.tops]
        detached = [i for i, wanted in enumerate(layer.param.propagate_down) if not wanted]
        weights = [graph.losses.get(n, 0.0) for n in found.tops]
        nodes.append(
            Node(layer.name, layer.type, layer, found.line, bottoms, tops, *shapes, params, detached, weights)
        )
    last = {names.get(n, n) for n in net.blobs} | {n for n in names.values() if n not in graph.blob_of}
    ends = [top for node in nodes for top in node.tops if top in last and top not in used]
    kept = [n for n in judged if n in last and (n in learned or not learned)]
    ends = list(dict.fromkeys([n for n in net.outputs if n in ends] + ends + kept))
    if not losses and judged:  # what only judges needed, as labels, is not put out
        ends = [n for n in ends if n in learned or not learned]
    ends = list(dict.fromkeys([*ends, *(names.get(n, n) for n in outputs)]))
    nodes = _needed(nodes, ends)
    _check_kinds(nodes, net)
    declared = {names.get(n, n) for found in graph.nodes if found.type == "Input" for n in found.tops}
    taken = {n for node in nodes for n in node.bottoms} | set(ends)
    given = {names.get(n, n): shape for n, shape in graph.inputs.items()}
    inputs = {n: shape for n, shape in given.items() if n in taken or (n in declared and not judged)}
    if not inputs:
        raise InputError(
            f"net '{net.name}' has no inputs that its outputs depend on",
            file=net.file,
            fix="Give it an Input layer, or data layers whose tops are used",
        )
    if not nodes or not ends:
        raise InputError(f"net '{net.name}' has no outputs: no layer computes anything", file=net.file)
    return Graph(net.name, net.phase, net.file, inputs, ends, nodes)


def _params(node: PureNode, blobs: Mapping[str, Blob], multipliers: Mapping[int, Learnable]) -> list[Param]:
    """A layer's parameters, in Caffe's order."""
    params = []
    names = _param_names(node.layer, len(node.blobs))
    for i, (name, owner) in enumerate(zip(names, node.blobs)):
        rates = multipliers.get(id(blobs[owner]))
        rate, decay = (rates.lr_mult, rates.decay_mult) if rates is not None else (1.0, 1.0)
        tensor = node.layer.blobs[i].tensor
        params.append(Param(name, tensor, node.learns[i] and rate != 0, not node.learns[i], rate, decay))
    return params


def _check_kinds(nodes: Iterable[Node], net: Net) -> None:
    """Raise LayerError for a layer that is no function of tensors."""
    for node in nodes:
        if not isinstance(node.layer, TensorLayer):
            raise LayerError(
                "is written over blobs, in numpy, and has no form outside of Caffe",
                file=net.file,
                line=node.line,
                layer=node.name,
                type=node.type,
                fix="Write it as a caffe.TensorLayer (compute(*tensors) in torch operations): that is exported",
            )


def _needed(nodes: list[Node], outputs: list[str]) -> list[Node]:
    """The nodes that outputs depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.tops):
            wanted.difference_update(node.tops)
            wanted.update(node.bottoms)
            kept.append(node)
    return kept[::-1]
