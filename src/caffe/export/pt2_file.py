"""torch.export's files (.pt2): a graph of torch operations with its weights, that needs no source code."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from caffe.export.check import Arrays, ExportError, Runner
from caffe.export.onnx_file import Entry, quiet
from caffe.export.preprocess import takes_any_size
from caffe.export.torch_net import TorchNet
from caffe.torch_private import while_loop

MOST_BOXES = 4096
"""Candidates of YOLO's that a graph compares, the best ones; a graph has all pairs in memory."""

PathLike = str | os.PathLike[str]


def write(
    module: TorchNet,
    path: PathLike,
    inputs: Sequence[torch.Tensor],
    *,
    dynamic: Sequence[str] = (),
    before: nn.Module | None = None,
) -> bool:
    """Write a module as a .pt2 file; returns whether it takes any number of items, as "batch" in ``dynamic`` asks for.

    Raises ExportError where torch has no graph for it.
    """
    entry = Entry(module, before).train(module.training)
    for parameter in entry.parameters():
        parameter.requires_grad_(False)
    with graph_operators(module), quiet(), torch.no_grad():
        try:
            program = _program(entry, inputs, "batch" in dynamic, takes_any_size(before))
            with open(path, "wb") as file:
                torch.export.save(program, file)  # type: ignore[arg-type]
            return not isinstance(_given(program)[0].shape[0], int)
        except Exception as error:  # the exporter's own errors are of many types
            text = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExportError(f"torch.export has no graph for it: {text}", file=module.graph.file) from error


def _program(entry: nn.Module, inputs: Sequence[torch.Tensor], any_batch: bool, any_size: bool) -> Any:
    given, auto = tuple(inputs), torch.export.Dim.AUTO
    size = {1: auto, 2: auto} if any_size else {}  # of the images, N × H × W × C
    for batch in [{0: auto}, {}] if any_batch else [{}]:
        free = [{**batch, **(size if i == 0 else {})} for i in range(len(given))]
        if not any(free):
            break
        few = batch and given[0].shape[0] == 1
        shown = tuple(torch.cat([x, x]) if x.dim() and few else x for x in given)
        with contextlib.suppress(Exception):  # where the batch, or the size, cannot be free, it is as it was
            return torch.export.export(entry, shown, dynamic_shapes=(tuple(free),), strict=False)
    return torch.export.export(entry, given, strict=False)


def _given(program: Any) -> list[torch.Tensor]:
    """The inputs that a program's graph was made for."""
    names = program.graph_signature.user_inputs
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    return [values[name] for name in names]


@contextlib.contextmanager
def graph_operators(module: TorchNet) -> Iterator[None]:
    """For a time, parts that loop until nothing changes do so in the graph."""
    changed = []
    for place in module.places:
        part = getattr(module, place.attribute)
        if hasattr(type(part), "suppress"):
            part.__dict__["suppress"] = suppress
            if hasattr(type(part), "most"):
                part.__dict__["most"] = MOST_BOXES
            changed.append(part)
    try:
        yield
    finally:
        for part in changed:
            del part.__dict__["suppress"]
            part.__dict__.pop("most", None)


def suppress(boxes: torch.Tensor, valid: torch.Tensor, threshold: float) -> torch.Tensor:
    """What ``parts.boxes.suppress`` does, as a loop that a graph can hold."""
    from caffe.export.parts.boxes import overlapping

    over = torch.triu(overlapping(boxes, boxes, threshold), 1)

    def goes_on(kept: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        return (kept != before).any()

    def step(kept: torch.Tensor, before: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return valid & ~(over & kept[:, :, None]).any(1), kept.clone()

    return while_loop(goes_on, step, (valid.clone(), torch.zeros_like(valid)))[0]


def runner(path: PathLike, names: Sequence[str], outputs: Sequence[str]) -> Runner:
    """A function from arrays to outputs by name, from a file."""
    with open(path, "rb") as file:
        program = torch.export.load(io.BytesIO(file.read())).module()

    def run(arrays: Arrays) -> dict[str, Any]:
        with torch.no_grad():
            values = program(*[torch.from_numpy(np.ascontiguousarray(arrays[n])) for n in names])
        return {name: value.numpy() for name, value in zip(outputs, values)}

    return run
