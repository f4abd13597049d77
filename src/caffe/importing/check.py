"""The self check: module and net on the same random inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe.errors import CaffeError, NetError
from caffe.importing.graph import Graph, Value
from caffe.net.net import Net
from caffe.proto import caffe_pb2

Array = npt.NDArray[Any]
Judge = Callable[[list[torch.Tensor]], list[torch.Tensor]]
"""The model itself: its outputs for inputs."""

Sample = Callable[[tuple[int, ...]], torch.Tensor]
"""Inputs to check on: for a shape a tensor of it."""

TOLERANCE = 1e-4
"""Of the largest value of an output."""


@dataclass
class Checked:
    """What the self check found: the largest error of each output, over its largest value."""

    errors: dict[str, float] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    runs: int = 0
    note: str = ""


def relative_error(got: Array, wanted: Array) -> float:
    """The largest difference over the largest value; infinite where shapes or NaNs differ."""
    if got.shape != wanted.shape:
        return float("inf")
    if not wanted.size:
        return 0.0
    if not np.array_equal(np.isnan(got), np.isnan(wanted)):
        return float("inf")
    with np.errstate(invalid="ignore"):
        difference = np.where(got == wanted, 0, np.abs(got.astype(np.float64) - wanted))
    largest = float(np.nanmax(np.abs(wanted[np.isfinite(wanted)]), initial=0.0))
    return float(np.nanmax(difference, initial=0.0)) / max(largest, 1e-30)


def check(
    net: Net,
    judge: Judge,
    inputs: Sequence[torch.Tensor],
    outputs: Mapping[str, str],
    *,
    tolerance: float = TOLERANCE,
    runs: int = 3,
    changes_batch: bool = True,
    explain: Callable[[list[torch.Tensor]], str] | None = None,
    sample: Sample | None = None,
) -> Checked:
    """Run both on ``runs`` random inputs, and on another batch size where the model takes one.

    ``inputs`` are examples: their shapes and types hold. ``sample`` gives inputs in place of random ones, of a model
    with one input. Raises NetError where an output differs by more than ``tolerance`` of its largest value;
    ``explain`` tells where it begins.
    """
    checked = Checked()
    generator = torch.Generator().manual_seed(0)

    def drawn(batch: int | None = None) -> list[torch.Tensor]:
        shapes = [tuple(x.shape) if batch is None else (batch, *x.shape[1:]) for x in inputs]
        if sample is not None and len(inputs) == 1:
            return [sample(shapes[0])]
        return [random_like(x.new_empty(shape), generator, x) for x, shape in zip(inputs, shapes)]

    for run in range(runs):
        given = drawn() if run or sample is not None else list(inputs)
        _compare(net, judge, given, outputs, tolerance, checked, explain)
    batch = int(inputs[0].shape[0]) if inputs and inputs[0].dim() else 0
    checked.batches.append(batch)
    other = batch + 1
    if changes_batch and batch and all(x.dim() and x.shape[0] == batch for x in inputs):
        given = drawn(other)
        try:
            wanted = judge(given)
        except Exception as error:
            checked.note = f"the model takes no batch of {other} ({type(error).__name__})"
            return checked
        if all(w.dim() and w.shape[0] != other for w in wanted):
            checked.note = "no output has a batch axis"
            return checked
        try:
            another = Checked()
            _compare(net, lambda _: wanted, given, outputs, tolerance, another, None)
            checked.batches.append(other)
            checked.runs += 1
            checked.errors = {name: max(e, another.errors[name]) for name, e in checked.errors.items()}
        except CaffeError as error:
            checked.note = f"holds for a batch of {batch} only: {str(error)[:200]}"
        finally:
            _feed(net, inputs)
    return checked


def random_like(
    x: torch.Tensor, generator: torch.Generator, example: torch.Tensor | None = None
) -> torch.Tensor:
    """Normal noise of the example's size, or numbers of its range where it holds integers."""
    example = x if example is None else example
    if example.is_floating_point():
        return torch.randn(x.shape, generator=generator)
    return torch.randint(0, max(int(example.max()), 1) + 1, x.shape, generator=generator).to(example.dtype)


def _feed(net: Net, inputs: Sequence[torch.Tensor]) -> None:
    for name, x in zip(net.inputs, inputs):
        if net.blobs[name].shape != tuple(x.shape):
            net.blobs[name].reshape(*x.shape)
    net.reshape()
    for name, x in zip(net.inputs, inputs):
        net.blobs[name].data[...] = x.numpy()


def _compare(
    net: Net,
    judge: Judge,
    inputs: list[torch.Tensor],
    outputs: Mapping[str, str],
    tolerance: float,
    found: Checked,
    explain: Callable[[list[torch.Tensor]], str] | None,
) -> None:
    wanted = judge(inputs)
    _feed(net, inputs)
    net.forward()
    found.runs += 1
    for (name, blob), expected in zip(outputs.items(), wanted):
        got = np.asarray(net.blobs[blob].data)
        reference = expected.detach().float().numpy()
        if got.size == reference.size and got.shape != reference.shape and reference.ndim == 0:
            reference = reference.reshape(got.shape)
        error = relative_error(got, reference)
        found.errors[name] = max(found.errors.get(name, 0.0), error)
        if error > tolerance:
            where = (explain(inputs) if explain is not None else "") or _own_noise(judge, inputs, wanted)
            shapes = (
                f" (shapes {list(got.shape)} and {list(reference.shape)})"
                if got.shape != reference.shape
                else ""
            )
            raise NetError(
                f"The net's output '{blob}' differs from the model's by {error:.2g} of the largest value{shapes};"
                f" at most {tolerance:g} is allowed. {where}".rstrip()
            )


def _own_noise(judge: Judge, inputs: list[torch.Tensor], wanted: list[torch.Tensor]) -> str:
    """What to say where the model itself gives other values for inputs that are changed in their last bit."""
    changed = [x * (1 + 2**-23) if x.is_floating_point() else x for x in inputs]
    own = max(relative_error(a.float().numpy(), b.float().numpy()) for a, b in zip(judge(changed), wanted))
    if own <= TOLERANCE:
        return ""
    return (
        f"The model itself gives values that differ by {own:.2g} when its input changes in the last bit: on such input"
        " nothing can be told. Check on real images (--images=FOLDER)"
    )


def layer_errors(
    param: caffe_pb2.NetParameter,
    blobs: Mapping[str, Sequence[Array]],
    graph: Graph,
    places: Mapping[Value, Any],
    inputs: Sequence[torch.Tensor],
) -> dict[str, float]:
    """For each operator of the graph the error of the blob that holds its result: of a net that is not in place."""
    net = filled(param, blobs)
    _feed(net, inputs)
    net.forward()
    reference = graph.run(inputs)
    errors: dict[str, float] = {}
    for value, expected in reference.items():
        place = places.get(value)
        if (
            place is None
            or not hasattr(place, "blob")
            or place.blob not in net.blobs
            or place.seen != place.shape
        ):
            continue
        got = np.asarray(net.blobs[place.blob].data)
        if got.shape != place.held or place.pads:
            continue
        lying = got.transpose(place.order)
        errors[place.blob] = max(errors.get(place.blob, 0.0), relative_error(lying, expected.float().numpy()))
    return errors


def filled(
    param: caffe_pb2.NetParameter, blobs: Mapping[str, Sequence[Array]], dialect: str | None = None
) -> Net:
    """The net of a definition with these parameters, in TEST. Raises what building a net raises."""
    from caffe import fillers

    with fillers.deferred():
        net = Net(param, caffe_pb2.TEST, dialect=dialect)
    for name, arrays in blobs.items():
        for blob, array in zip(net.params[name], arrays):
            if blob.shape != array.shape:
                raise NetError(f"parameter of shape {list(array.shape)} for {list(blob.shape)}", layer=name)
            blob.data[...] = array
    return net
