"""ONNX files, through torch.onnx."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from caffe.errors import InputError
from caffe.export import onnx_operators, onnx_symbolics
from caffe.export.check import ROWS, ExportError
from caffe.export.packages import package
from caffe.export.preprocess import takes_any_size
from caffe.export.torch_net import Function, TorchNet
from caffe.torch_private import known_shapes, silence_onnx

OPSET = 17
"""The version of the operators: one that all engines of the last years read."""
LEAST_OPSET, MOST_OPSET = 11, 20
_NEEDED = {"MaxRoiPool": 1, "NonMaxSuppression": 10, "GridSample": 16, "RoiAlign": 16}

PathLike = str | os.PathLike[str]


class Entry(nn.Module):
    """The net behind an interface of positional tensors, as the exporter wants it."""

    def __init__(self, module: TorchNet, before: nn.Module | None) -> None:
        super().__init__()
        self.net = module
        self.before = before

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.before is not None:
            inputs = (self.before(inputs[0]), *inputs[1:])
        blobs = self.net.blobs(dict(zip(self.net.input_names, inputs)))
        return tuple(blobs[name] for name in self.net.output_names)


def write(
    module: TorchNet,
    path: PathLike,
    inputs: Sequence[torch.Tensor],
    *,
    opset: int = OPSET,
    dynamic: Sequence[str] = ("batch",),
    metadata: dict[str, str] | None = None,
    before: nn.Module | None = None,
) -> None:
    """Write a module as an ONNX file. ``inputs`` are examples; of ``dynamic`` "batch" leaves axis 0 of inputs free,
    "size" height and width of images, which are free as well where ``before`` resizes them.

    Raises ExportError where the exporter has no way, MissingPackageError without the extra ``export``.
    """
    onnx = package("onnx", "writing ONNX")
    if not LEAST_OPSET <= opset <= MOST_OPSET:
        raise InputError(f"the opset must be from {LEAST_OPSET} to {MOST_OPSET}; got {opset}")
    axes = {name: _free(x, dynamic) for name, x in zip(module.input_names, inputs)}
    if takes_any_size(before):
        axes[module.input_names[0]] |= {1: "height", 2: "width"}
    outputs = _free_outputs(module) if any(axes.values()) else {}
    entry = Entry(module, before).eval() if not module.training else Entry(module, before)
    onnx_symbolics.register(opset, free_sizes="size" in dynamic)
    sizes = contextlib.nullcontext() if "size" in dynamic else known_shapes(free_batch="batch" in dynamic)
    with _onnx_operators(module), sizes, quiet(), torch.no_grad():
        buffer = io.BytesIO()
        try:
            torch.onnx.export(
                entry,
                tuple(inputs),
                buffer,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=opset,
                input_names=module.input_names,
                output_names=module.output_names,
                dynamic_axes={**axes, **outputs},
                do_constant_folding=True,
                training=torch.onnx.TrainingMode.PRESERVE,
            )
        except Exception as error:  # the exporter's own errors are of many types
            raise _explained(error, module, opset) from error
        model = onnx.load_from_string(buffer.getvalue())
        finish(onnx, model, metadata or {})
        if "size" not in dynamic:
            _fix_outputs(model, module, outputs)
        onnx.save(model, os.fspath(path))


def finish(onnx: Any, model: Any, metadata: dict[str, str]) -> None:
    """Fold what is constant, rename nodes as the layers, and add properties."""
    model.producer_name = "caffe-torch"
    for node in model.graph.node:
        node.name = node.name.replace("/net/", "", 1)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def _free_outputs(module: TorchNet) -> dict[str, dict[int, str]]:
    """The outputs' free axes: of detections the rows, of anything else the items."""
    types = {top: place.node.type for place in module.places for top in place.node.tops}
    rows = {name: 0 if types.get(name) == "FrcnnOutput" else 2 for name in types if types[name] in ROWS}
    return {n: {rows[n]: "rows"} if n in rows else {0: "batch"} for n in module.output_names}


def _fix_outputs(model: Any, module: TorchNet, free: dict[str, dict[int, str]]) -> None:
    """Write down the sizes of outputs that are not free and that the exporter does not know."""
    shapes = {n: s for place in module.places for n, s in zip(place.node.tops, place.node.top_shapes)}
    for value in model.graph.output:
        dims, shape = value.type.tensor_type.shape.dim, shapes.get(value.name, ())
        for i, (dim, size) in enumerate(zip(dims, shape)):
            if (
                i not in free.get(value.name, {})
                and len(dims) == len(shape)
                and not dim.HasField("dim_value")
            ):
                dim.dim_value = size


def _free(x: torch.Tensor, dynamic: Sequence[str]) -> dict[int, str]:
    axes = {0: "batch"} if "batch" in dynamic and x.dim() else {}
    if "size" in dynamic and x.dim() == 4:
        axes |= {1: "height", 2: "width"} if x.dtype == torch.uint8 else {2: "height", 3: "width"}
    return axes


@contextlib.contextmanager
def _onnx_operators(module: TorchNet) -> Iterator[None]:
    """For a time, parts that ONNX has operators for are run as those."""
    changed: list[tuple[nn.Module, str]] = []
    replaced: list[tuple[str, nn.Module]] = []
    for place in module.places:
        part = getattr(module, place.attribute)
        for name in ("suppress", "best"):
            if hasattr(type(part), name):
                part.__dict__[name] = getattr(onnx_operators, name)
                changed.append((part, name))
        if place.form is not None and place.form.onnx is not None:
            replaced.append((place.attribute, part))
            setattr(module, place.attribute, Function(place.form.onnx, ""))
    try:
        yield
    finally:
        for part, name in changed:
            del part.__dict__[name]
        for attribute, part in replaced:
            setattr(module, attribute, part)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the tracer's warnings: what it warns of is checked."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    silence_onnx()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _explained(error: Exception, module: TorchNet, opset: int) -> ExportError:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ExportError(
        f"torch's exporter has no way to ONNX opset {opset} for it: {text}",
        file=module.graph.file,
        fix=f"A higher --opset (up to {MOST_OPSET}) has more operators" if opset < MOST_OPSET else None,
    )


def runner(path: PathLike) -> Any:
    """A function from arrays to outputs by name, in ONNX Runtime."""
    runtime = package("onnxruntime", "checking ONNX")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(Path(path)), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    taken = {i.name for i in session.get_inputs()}

    def run(arrays: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in arrays.items() if name in taken}
        return dict(zip(names, session.run(None, given)))

    return run
