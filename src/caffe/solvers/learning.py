"""How each layer learns, beside the metrics: ``<prefix>_layers.jsonl``, which ``caffe watch`` shows.

One JSON object a line: ``{"kind": "solver", "text"}`` at the beginning, ``{"kind": "layers", "iter", "values":
{layer: {"ratio", "dead", "units"}}}`` where an iteration is displayed, ``{"kind": "filters", "iter", "layer",
"picture"}`` now and then.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch

from caffe import runtime
from caffe.display import thumbnail
from caffe.errors import FileAccessError, StateError
from caffe.solvers.callbacks import Callback

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver

NAME = "_layers.jsonl"
SHARE = 0.004
"""Of the training's time that looking at it may take; rows are left out where it would take more."""
_FILTERS_GROW = 1.3
"""Filters are drawn whenever there were this many times as many iterations as at the last picture."""
_RECTIFIERS = ("ReLU", "ReLU6")


class Learning(Callback):
    """Writes each layer's ratio of update to weight, its dead units, and pictures of the first filters.

    Raises FileAccessError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None
        self._began = time.monotonic()
        self._spent = 0.0
        self._next_filters = 0.0

    def on_iteration(self, solver: Solver, loss: float | None) -> None:
        began = time.monotonic()
        if loss is None or (self._spent > SHARE * (began - self._began) and self._file is not None):
            return
        iteration = solver.iter - 1  # it counts the update already
        self._write(solver, {"kind": "layers", "iter": iteration, "values": layers(solver)})
        if iteration >= self._next_filters:
            self._next_filters = max(iteration + 1, _FILTERS_GROW * iteration)
            filters = first_filters(solver)
            if filters is not None:
                self._write(solver, {"kind": "filters", "iter": iteration, **filters})
        self._spent += time.monotonic() - began

    def on_end(self, solver: Solver) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, solver: Solver, row: dict[str, Any]) -> None:
        try:
            if self._file is None:
                self._file = self.path.open("a", encoding="utf-8")
                self._file.write(json.dumps({"kind": "solver", "text": str(solver.param)}) + "\n")
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        except OSError as error:
            raise FileAccessError(f"cannot be written: {error.strerror}", file=self.path) from None


def layers(solver: Solver) -> dict[str, dict[str, float | int | None]]:
    """For each layer that learns, right after an update: ‖update‖ ÷ ‖weights‖, and units that are never positive.

    ``ratio`` is of the layer's first parameter, None where all its weights are 0. ``dead`` of ``units`` channels of
    the ReLU behind it are not above 0 anywhere in the batch; both are left out where no ReLU follows.
    """
    device = runtime.device()
    by_layer: dict[str, dict[str, float | int | None]] = {}
    learning = {id(p.blob): p for p in solver.net.learnable}
    dead = _dead(solver, device)
    with torch.no_grad():
        for step in solver.net.steps:
            blob = next((b for b in step.layer.blobs if id(b) in learning), None)
            if blob is None or learning[id(blob)].lr_mult == 0:
                continue
            weight = float(torch.linalg.vector_norm(blob.data_memory.on(device)))
            update = float(torch.linalg.vector_norm(blob.diff_memory.on(device)))
            ratio = float(f"{update / weight:.4g}") if weight else None
            by_layer[step.layer.name] = {"ratio": ratio, **dead.get(step.layer.name, {})}
    return by_layer


def _dead(solver: Solver, device: torch.device) -> dict[str, dict[str, int]]:
    """Layer with weights → channels of the ReLU behind it without a positive value, and all its channels."""
    dead: dict[str, dict[str, int]] = {}
    producer: dict[str, str] = {}
    for step in solver.net.steps:
        layer = step.layer
        if layer.blobs:
            producer.update(dict.fromkeys(step.top_names, layer.name))
        elif layer.type in (*_RECTIFIERS, "Split", "Dropout") and step.bottom_names:
            origin = producer.get(step.bottom_names[0])
            if origin is None:
                continue
            producer.update(dict.fromkeys(step.top_names, origin))
            if layer.type not in _RECTIFIERS or len(step.top[0].shape) < 2:
                continue
            if layer.param.relu_param.negative_slope:
                continue
            try:
                values = step.top[0].data_memory.on(device)
            except StateError:  # not kept, to save memory
                continue
            alive = (values > 0).flatten(2).any(2).any(0) if values.ndim > 2 else (values > 0).any(0)
            dead[origin] = {"dead": int((~alive).sum()), "units": alive.numel()}
        else:
            for name in step.top_names:
                producer.pop(name, None)
    return dead


def first_filters(solver: Solver) -> dict[str, str] | None:
    """The first convolution's filters as a picture, where they make one."""
    for step in solver.net.steps:
        if step.layer.type == "Convolution" and step.layer.blobs:
            values = step.layer.blobs[0].data
            picture = thumbnail(values[:, :1] if values.shape[1] != 3 else values)
            return None if picture is None else {"layer": step.layer.name, "picture": picture}
    return None
