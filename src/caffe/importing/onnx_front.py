"""The front end for ONNX: its graph, node by node, as calls of PyTorch's operators."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from caffe.errors import InputError, MissingFileError, MissingPackageError, ParseError
from caffe.importing.graph import Graph, Value
from caffe.importing.onnx_ops import FAMILIES, HANDLERS, Call

_OLDEST = 7
_CONTROL = ("Loop", "Scan", "If")


def load(path: str | os.PathLike[str]) -> Any:
    """The ONNX model of a file, checked. Raises MissingFileError, ParseError, MissingPackageError."""
    path = os.fspath(path)
    try:
        import onnx
    except ImportError:
        raise MissingPackageError.of("onnx", "export", "Reading ONNX models") from None
    if not os.path.isfile(path):
        raise MissingFileError("There is no such file", file=path)
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except DecodeError:
        raise ParseError("This is no ONNX model, or it is cut off", file=path) from None
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ParseError(
            f"Its weights cannot be read: {error}",
            file=path,
            fix="Models over 2 GB keep them in files beside the model: put those into the same folder",
        ) from None
    if not model.graph.node:
        raise ParseError("The model holds no nodes: it is no ONNX model, or it is cut off", file=path)
    opset = opset_of(model)
    if not _OLDEST <= opset <= onnx.defs.onnx_opset_version():
        raise ParseError(
            f"Opset {opset} is not supported; the installed onnx knows up to {onnx.defs.onnx_opset_version()},"
            f" conversion from {_OLDEST} on",
            file=path,
            fix="Export the model again with opset 17, or use onnx.version_converter",
        )
    return model


def opset_of(model: Any) -> int:
    """The version of ONNX's own operators."""
    return int(next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0))


def graph_of(
    model: Any,
    *,
    file: str = "",
    shapes: Mapping[str, Sequence[int]] | None = None,
    outputs: Sequence[str] = (),
    batch: int = 1,
) -> Graph:
    """The graph of an ONNX model.

    ``shapes`` gives inputs' shapes that the model leaves open (a first axis that is open is ``batch``); ``outputs``
    are tensors to stop at, in place of the model's own outputs. Raises InputError.
    """
    for family in FAMILIES:
        importlib.import_module(f"caffe.importing.onnx_ops.{family}")
    reader = _Reader(file, opset_of(model), Graph(), {})
    reader.constants(model.graph)
    reader.inputs(model.graph, shapes or {}, batch)
    wanted = list(outputs) or [o.name for o in model.graph.output]
    reader.nodes(_needed(model.graph.node, wanted))
    reader.outputs(wanted)
    reader.graph.drop_unused()
    return reader.graph


@dataclass
class _Reader:
    file: str
    opset: int
    graph: Graph
    known: dict[str, Any]
    names: set[str] = field(default_factory=set)

    def constants(self, graph: Any) -> None:
        for tensor in graph.initializer:
            self.known[tensor.name] = as_tensor(tensor)

    def inputs(self, graph: Any, shapes: Mapping[str, Sequence[int]], batch: int) -> None:
        unknown = set(shapes) - {i.name for i in graph.input}
        if unknown:
            raise InputError(
                f"The model has no input {sorted(unknown)}; it has {[i.name for i in graph.input]}",
                file=self.file,
            )
        for given in graph.input:
            if given.name in self.known:
                continue
            shape = _shape(given, shapes.get(given.name), batch, self.file)
            value = Value(given.name, tuple(int(n) for n in shape), _dtype(given.type.tensor_type.elem_type))
            self.graph.inputs.append(value)
            self.known[given.name] = value

    def nodes(self, nodes: Sequence[Any]) -> None:
        for node in nodes:
            where = f"node '{node.name or node.output[0]}'"
            attributes = {a.name: _attribute(a) for a in node.attribute}
            if node.op_type == "If":
                self._branch(node, attributes, where)
                continue
            handler = HANDLERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            if handler is None:
                raise InputError(_refusal(node, where), fix=_way_around(node))
            inputs = [self._input(n, where) if n else None for n in node.input]
            call = Call(self.graph, node_name(node), where, attributes, self.opset, len(node.output))
            try:
                emitted = handler(call, *inputs)
            except InputError:
                raise
            except (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError) as error:
                first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise InputError(
                    f"{where}: {node.op_type} with these inputs cannot be followed: {first}"
                ) from error
            results = list(emitted) if isinstance(emitted, (list, tuple)) else [emitted]
            self.known.update({n: r for n, r in zip(node.output, results) if n})

    def _input(self, name: str, where: str) -> Any:
        if name not in self.known:
            raise InputError(f"{where}: there is no tensor '{name}' before it")
        return self.known[name]

    def _branch(self, node: Any, attributes: Mapping[str, Any], where: str) -> None:
        condition = self.known.get(node.input[0])
        if not isinstance(condition, torch.Tensor):
            raise InputError(
                f"{where}: If over a value that the model computes is control flow, which a Caffe net does not have",
                fix="Export the model with the branch taken beforehand",
            )
        taken = attributes["then_branch" if bool(condition) else "else_branch"]
        self.constants(taken)
        self.nodes(taken.node)
        for name, inner in zip(node.output, taken.output):
            self.known[name] = self.known[inner.name]

    def outputs(self, wanted: Sequence[str]) -> None:
        for name in wanted:
            value = self.known.get(name)
            if value is None:
                raise InputError(f"The model has no tensor '{name}'", file=self.file)
            self.graph.outputs[name] = value


def _needed(nodes: Sequence[Any], wanted: Sequence[str]) -> list[Any]:
    """The nodes that these tensors depend on."""
    names, kept = set(wanted), []
    for node in reversed(nodes):
        if names.intersection(node.output):
            names.update(_read_by(node))
            kept.append(node)
    return kept[::-1]


def _read_by(node: Any) -> set[str]:
    """The tensors that a node and the graphs within it read."""
    inner = [n for a in node.attribute for n in a.g.node]
    return set(node.input).union(*map(_read_by, inner))


def _refusal(node: Any, where: str) -> str:
    kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    if node.op_type in _CONTROL:
        return f"{where}: {kind} is control flow, which a Caffe net does not have"
    return f"{where}: the operator {kind} has no form in Caffe's layers"


def _way_around(node: Any) -> str:
    first = next((n for n in node.input if n), "")
    return (
        f"Stop before it: give outputs (--outputs={first}) and do the rest in your own code"
        if first
        else "Rewrite this part of the model with other operators"
    )


def node_name(node: Any) -> str:
    """A layer's name: for models that PyTorch exported the module's path, else the node's name or output."""
    name = node.name or node.output[0]
    parts = [p for p in name.strip("/").split("/") if p]
    if len(parts) > 1 and parts[-1].split("_")[0] == node.op_type:
        parts = parts[:-1]
    path: list[str] = []
    for part in parts:
        if path and part.startswith(path[-1] + "."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path) if name.startswith("/") else "/".join(parts) or name


def as_tensor(tensor: Any) -> torch.Tensor:
    """An ONNX tensor; half precision becomes float32."""
    import numpy as np
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    if array.dtype in (np.float16, np.float64):
        array = array.astype(np.float32)
    found = torch.from_numpy(np.array(array, order="C"))
    return found.float() if found.dtype in (torch.bfloat16, torch.float16) else found


def _attribute(attribute: Any) -> Any:
    from onnx import helper

    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if attribute.type == attribute.TENSOR:
        return as_tensor(value)
    return list(value) if attribute.type in (attribute.INTS, attribute.FLOATS) else value


def _shape(given: Any, wanted: Sequence[int] | None, batch: int, file: str) -> list[int]:
    """An input's sizes: those wanted where the model leaves them open."""
    declared = [d.dim_value if d.HasField("dim_value") else 0 for d in given.type.tensor_type.shape.dim]
    if wanted is not None:
        if given.type.tensor_type.HasField("shape") and (
            len(declared) != len(wanted) or any(n > 0 and n != w for n, w in zip(declared[1:], wanted[1:]))
        ):
            raise InputError(
                f"The model's input '{given.name}' is {_sizes(given)}; got the shape {list(wanted)}",
                file=file,
            )
        return [int(n) for n in wanted]
    shape = [batch if i == 0 and n < 1 else n for i, n in enumerate(declared)]
    if min(shape, default=1) < 1:
        raise InputError(
            f"The shape of input '{given.name}' is not fixed: {_sizes(given)}; a prototxt holds numbers",
            file=file,
            fix=f"Give it, as --shape={given.name}:1,3,224,224 (shapes= in Python)",
        )
    return shape


def _sizes(given: Any) -> list[Any]:
    return [d.dim_param or d.dim_value or "?" for d in given.type.tensor_type.shape.dim]


def _dtype(kind: int) -> torch.dtype:
    import numpy as np
    from onnx import helper

    dtype = torch.from_numpy(np.zeros(0, helper.tensor_dtype_to_np_dtype(kind))).dtype
    return torch.float32 if dtype.is_floating_point else dtype
