"""``caffe.from_onnx``: an ONNX model as a net."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from caffe import limits
from caffe.errors import InputError
from caffe.importing import conversion, files, onnx_front
from caffe.importing.conversion import Conversion
from caffe.net.net import Net


def from_onnx(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    outputs: Sequence[str] = (),
    dialect: str = "bvlc",
    fold: bool = False,
    check: bool = True,
    force: bool = False,
) -> Net:
    """A net that computes what an ONNX model does.

    ``shapes`` gives inputs' shapes that the model leaves open, by name; ``outputs`` names tensors to stop at. The
    rest as :func:`caffe.from_torch`. The judge of the check is onnxruntime where it is installed, else the onnx
    package's own reference. Raises MissingFileError, ParseError, MissingPackageError, InputError, NetError.
    """
    if out is not None:
        files.free(out, force)
    done = convert_onnx(
        path, shapes=shapes, outputs=outputs, dialect=dialect, fold=fold, runs=3 if check else 0
    )
    if out is not None:
        done.save(out, force=force)
    return done.net


def convert_onnx(
    path: str | os.PathLike[str],
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    outputs: Sequence[str] = (),
    **options: Any,
) -> Conversion:
    """As :func:`from_onnx`, with all that is known of the conversion."""
    with limits.guarding(InputError, os.fspath(path)):  # what onnx and numpy say of damaged nodes
        return _convert(path, shapes, outputs, options)


def _convert(
    path: str | os.PathLike[str],
    shapes: Mapping[str, Sequence[int]] | None,
    outputs: Sequence[str],
    options: dict[str, Any],
) -> Conversion:
    model = onnx_front.load(path)
    graph = onnx_front.graph_of(model, file=os.fspath(path), shapes=shapes, outputs=outputs)
    limits.check_memory(4 * sum(math.prod(v.shape) for v in graph.inputs), "an input of the model")
    generator = torch.Generator().manual_seed(0)
    examples = [
        torch.randn(v.shape, generator=generator)
        if v.dtype.is_floating_point
        else torch.ones(v.shape, dtype=v.dtype)
        for v in graph.inputs
    ]
    names = [v.name for v in graph.inputs]
    runs = options.get("runs", 3)
    judge = judge_of(model, os.fspath(path), names, list(graph.outputs)) if runs else lambda inputs: []
    options.setdefault("name", model.graph.name or Path(path).stem)
    return conversion.convert(graph, judge, examples, own_names=True, **options)


def judge_of(
    model: Any, path: str, inputs: Sequence[str], outputs: Sequence[str]
) -> Callable[[list[torch.Tensor]], list[torch.Tensor]]:
    """The model run by onnxruntime, or by the onnx package where that is not installed or does not take it."""
    import onnx

    own = [o.name for o in model.graph.output]
    if list(outputs) != own:
        model = onnx.ModelProto.FromString(model.SerializeToString())
        for name in outputs:
            if name not in own:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
    data = model.SerializeToString()
    halves = {i.name for i in model.graph.input if i.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16}
    run: Callable[[dict[str, Any]], Any]
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # beyond the basic ones, rewrites change the order of sums: 1e-3 in a mean of some models' small outputs
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        run = lambda feed: session.run(list(outputs), feed)  # noqa: E731
    except Exception as error:
        from onnx.reference import ReferenceEvaluator

        if not isinstance(error, ImportError) and "onnxruntime" not in type(error).__module__:
            raise InputError(f"The model cannot be run: {error}", file=path) from error
        evaluator = ReferenceEvaluator(onnx.load_from_string(data))
        run = lambda feed: evaluator.run(list(outputs), feed)  # noqa: E731

    def judge(given: list[torch.Tensor]) -> list[torch.Tensor]:
        feed = {n: (x.half() if n in halves else x).numpy() for n, x in zip(inputs, given)}
        return [torch.as_tensor(y) for y in run(feed)]

    return judge
