"""From the small graph to a checked net and its files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from caffe import dialects
from caffe.errors import InputError
from caffe.importing import files, ops, patterns, tidy
from caffe.importing.check import TOLERANCE, Checked, Judge, Sample, check, filled, layer_errors
from caffe.importing.emitter import Emitter
from caffe.importing.graph import Graph, Value
from caffe.importing.place import Place
from caffe.net.net import Net
from caffe.proto import caffe_pb2


@dataclass
class Conversion:
    """A converted model: the net, its definition and parameters, and what is known of how it went."""

    net: Net
    param: caffe_pb2.NetParameter
    blobs: tidy.Blobs
    outputs: dict[str, str]
    """The model's outputs by name → the net's blobs."""
    dialect: str
    notes: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    checked: Checked | None = None
    errors: dict[str, float] = field(default_factory=dict)
    """Each blob's error against the model's own value, over its largest value."""

    def save(self, out: str | os.PathLike[str], *, v1: bool = False, force: bool = False) -> tuple[Path, ...]:
        """Write OUT.prototxt and OUT.caffemodel (OUT may end in either), with ``v1`` in the form of 2014, too.

        Returns the paths. See :func:`caffe.importing.files.save`.
        """
        arrays = {name: [blob.data for blob in blobs] for name, blobs in self.net.params.items()}
        return files.save(out, self.param, arrays, dialects.load(self.dialect), v1=v1, force=force)


def convert(
    graph: Graph,
    judge: Judge,
    examples: Sequence[torch.Tensor],
    *,
    name: str = "",
    dialect: str = "bvlc",
    fold: bool = False,
    tolerance: float = TOLERANCE,
    runs: int = 3,
    own_names: bool = False,
    layerwise: bool = False,
    sample: Sample | None = None,
) -> Conversion:
    """Write the graph's layers in a dialect and check them against ``judge``, the model itself.

    ``own_names`` gives the outputs' names to their blobs. ``runs`` 0 checks nothing; ``sample`` gives the
    inputs to check on in place of random ones. Raises InputError for what the dialect cannot express, NetError where
    the net and the model differ.
    """
    ops.load()
    patterns.join(graph)
    emitter = Emitter(graph, dialects.load(dialect))
    emitter.net.name = name
    emitter.run()
    outputs = _outputs(emitter)
    wanted = list(outputs.values())
    blobs = emitter.blobs
    tidy.drop_unused(emitter.net, blobs, wanted)
    apart = caffe_pb2.NetParameter.FromString(emitter.net.SerializeToString())
    apart_blobs = dict(blobs)
    param = emitter.net
    tidy.merge_powers(param, wanted)
    folded = tidy.fold_batch_norm(param, blobs, wanted) if fold else []
    tidy.in_place(param, wanted)
    if own_names:
        outputs = _renamed(param, outputs)
    net = filled(param, blobs)
    _within(dialects.load(dialect), param, net)
    done = Conversion(net, param, blobs, outputs, dialect, list(dict.fromkeys(emitter.notes)), folded)

    def explain(inputs: list[torch.Tensor]) -> str:
        errors = layer_errors(apart, apart_blobs, graph, emitter.places, inputs)
        parted = next(((b, err) for b, err in errors.items() if err > tolerance), None)
        if parted is None:
            return ""
        node = next((n for n in graph.nodes if n.name == emitter.layer_of.get(parted[0])), None)
        where = f" (operator {node.op} at {node.where})" if node else ""
        return f"The first layer that parts is '{parted[0]}'{where}, by {parted[1]:.2g}"

    if runs:
        done.checked = check(
            net, judge, examples, outputs, tolerance=tolerance, runs=runs, explain=explain, sample=sample
        )
    if layerwise:
        inputs = [sample(tuple(examples[0].shape))] if sample is not None else examples
        done.errors = layer_errors(apart, apart_blobs, graph, emitter.places, inputs)
    return done


def _within(dialect: dialects.Dialect, param: caffe_pb2.NetParameter, net: Net) -> None:
    """Raise InputError for what the dialect's limits (kernels, strides, axes …) would refuse of what was written."""
    findings = dialects.check(
        dialect, param, shapes={name: tuple(blob.shape) for name, blob in net.blobs.items()}
    )
    if findings:
        more = f"; and {len(findings) - 5} more" if len(findings) > 5 else ""
        raise InputError(
            f"{dialect.title} would refuse: " + "; ".join(map(str, findings[:5])) + more,
            fix="Convert to another dialect (bvlc, caffe-torch) and rewrite these parts, or change the model",
        )


def _outputs(emitter: Emitter) -> dict[str, str]:
    blobs = {}
    for name, value in emitter.graph.outputs.items():
        if not isinstance(value, Value):
            raise InputError(f"The output '{name}' does not depend on any input; a net has no use for it")
        place = emitter.places.get(value)
        if not isinstance(place, Place):
            raise InputError(f"The output '{name}' (where the largest values were) has no form in Caffe")
        blobs[name] = emitter.output(name, place).blob
    return blobs


def _renamed(param: caffe_pb2.NetParameter, outputs: dict[str, str]) -> dict[str, str]:
    taken = {t for layer in param.layer for t in layer.top} - set(outputs.values())
    inputs = {layer.top[0] for layer in param.layer if layer.type == "Input"}
    names: dict[str, str] = {}
    for name, blob in outputs.items():
        if blob not in names and name not in taken and blob not in inputs:
            names[blob] = name
    tidy.rename(param, names)
    return {name: names.get(blob, blob) for name, blob in outputs.items()}


def as_tensors(examples: Any) -> tuple[Any, ...]:
    """Example inputs as a tuple of tensors: one tensor or shape, or several."""
    if isinstance(examples, torch.Tensor):
        return (examples,)
    if isinstance(examples, (list, tuple)) and examples and all(isinstance(n, int) for n in examples):
        return (torch.randn(*examples),)
    if not isinstance(examples, (list, tuple)):
        raise InputError(
            f"Example inputs are a tensor, a shape, or several of them; got {type(examples).__name__}"
        )
    return tuple(torch.randn(*x) if isinstance(x, (list, tuple)) else x for x in examples)
