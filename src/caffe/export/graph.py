"""A net as a graph of layers: what every way out starts from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch

from caffe.blob import Shape
from caffe.errors import InputError, LayerError, UnknownNameError
from caffe.layer import Layer
from caffe.net.net import Net
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
    """Layers in order, from inputs to outputs; blobs are named as in the prototxt."""

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
    steps = list(net.steps)
    for name in outputs:
        if name not in net.blobs:
            raise UnknownNameError(f"The net has no blob '{name}' to put out", file=net.file)
    sources: dict[str, Shape] = {}
    nodes: list[Node] = []
    judged: list[str] = []
    learned: set[str] = set()
    produced: dict[str, None] = {}
    used: set[str] = set()
    declared: list[str] = []
    multipliers = {id(p.blob.data_memory): p for p in net.learnable}
    names: dict[str, str] = {}  # the tops of Splits are their bottoms
    for step in steps:
        layer = step.layer
        bottoms = [names.get(n, n) for n in step.bottom_names]
        if layer.type == "Split":
            names.update(dict.fromkeys(step.top_names, bottoms[0]))
            continue
        if layer.source:
            for name, blob in zip(step.top_names, step.top):
                sources[name] = blob.shape
                if layer.type == "Input":
                    declared.append(name)
            continue
        if not losses and (layer.is_loss or layer.type in JUDGES):
            judged += [] if layer.type == "Silence" else bottoms
            used.update(bottoms)
            continue
        if layer.type == "Silence":
            used.update(bottoms)
            continue
        if not isinstance(layer, TensorLayer):
            raise LayerError(
                "is written over blobs, in numpy, and has no form outside of Caffe",
                file=net.file,
                line=step.line,
                layer=layer.name,
                type=layer.type,
                fix="Write it as a caffe.TensorLayer (compute(*tensors) in torch operations): that is exported",
            )
        params = []
        for i, (name, blob) in enumerate(zip(_param_names(layer, len(layer.blobs)), layer.blobs)):
            owner = multipliers.get(id(blob.data_memory))
            statistic = i < len(layer.specs) and not layer.specs[i].learns
            rate, decay = (owner.lr_mult, owner.decay_mult) if owner is not None else (1.0, 1.0)
            learns = not statistic and rate != 0
            params.append(Param(name, blob.tensor, learns, statistic, rate, decay))
        needed = learned.intersection(bottoms) or params
        if needed:
            learned.update(step.top_names)
        given = list(layer.param.propagate_down)
        detached = [i for i, wanted in enumerate(given) if not wanted]
        tops = [n if n != "(automatic)" else f"{layer.name}_loss" for n in step.top_names]
        for name in tops:
            produced.pop(name, None)
            produced[name] = None
        used.update(bottoms)
        used.difference_update(tops)
        shapes = [b.shape for b in step.bottom], [b.shape for b in step.top]
        weights = list(step.loss_weights)
        nodes.append(
            Node(layer.name, layer.type, layer, step.line, bottoms, tops, *shapes, params, detached, weights)
        )
    found = [name for name in produced if name not in used]
    kept = [n for n in judged if n in produced and (n in learned or not learned)]
    found = list(dict.fromkeys([n for n in net.outputs if n in found] + found + kept))
    if not losses and judged:  # what only judges needed, as labels, is not put out
        found = [n for n in found if n in learned or not learned]
    found = list(dict.fromkeys([*found, *outputs]))
    nodes = _needed(nodes, found)
    taken = {n for node in nodes for n in node.bottoms} | set(found)
    inputs = {n: shape for n, shape in sources.items() if n in taken or (n in declared and not judged)}
    if not inputs:
        raise InputError(
            f"net '{net.name}' has no inputs that its outputs depend on",
            file=net.file,
            fix="Give it an Input layer, or data layers whose tops are used",
        )
    if not nodes or not found:
        raise InputError(f"net '{net.name}' has no outputs: no layer computes anything", file=net.file)
    return Graph(net.name, net.phase, net.file, inputs, found, nodes)


def _needed(nodes: list[Node], outputs: list[str]) -> list[Node]:
    """The nodes that outputs depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.tops):
            wanted.difference_update(node.tops)
            wanted.update(node.bottoms)
            kept.append(node)
    return kept[::-1]
