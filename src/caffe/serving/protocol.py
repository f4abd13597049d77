"""The Open Inference Protocol, version 2: tensors in and out, as JSON or as bytes behind it.

Source: KServe's specification "Open Inference Protocol" and its extension "binary tensor data".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.errors import InputError, close_names

Json = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]
LENGTH_HEADER = "inference-header-content-length"
TYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


@dataclass
class Request:
    """A request for inference: its inputs as float32, and which outputs are wanted, in which form."""

    inputs: Arrays
    id: str = ""
    outputs: list[str] = field(default_factory=list)  # empty: all
    binary: dict[str, bool] = field(default_factory=dict)
    all_binary: bool = False


def read(body: bytes, header_length: int | None, about: Json, model: str) -> Request:
    """A request for a model (``about`` as the worker tells). Raises InputError saying what does not fit."""
    if header_length is not None and not 0 < header_length <= len(body):
        raise InputError(f"The JSON is said to be {header_length} bytes of a body of {len(body)}")
    try:
        asked = json.loads(body[:header_length] if header_length is not None else body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The body must be JSON: {error}") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("inputs"), list):
        raise InputError('The body must be an object with a list "inputs"')
    tail = memoryview(body)[header_length:] if header_length is not None else memoryview(b"")
    inputs: Arrays = {}
    for tensor in asked["inputs"]:
        tail = _input(tensor, tail, inputs, about["inputs"])
    if len(tail):
        raise InputError(f"{len(tail)} bytes are left behind the tensors")
    missing = [name for name in about["inputs"] if name not in inputs]
    if missing:
        raise InputError(f"The model '{model}' needs the input '{missing[0]}', too")
    rows = {name: len(values) for name, values in inputs.items()}
    if len(set(rows.values())) > 1:
        raise InputError(f"All inputs must have as many items; got {rows}")
    count = next(iter(rows.values()))
    if not 1 <= count <= about["batch"]:
        raise InputError(f"A request must have 1 to {about['batch']} items; got {count}")
    request = Request(inputs, str(asked.get("id") or ""))
    request.all_binary = _parameter(asked, "binary_data_output") is True
    _outputs(asked.get("outputs"), request, about["outputs"])
    return request


def _input(tensor: Any, tail: memoryview, inputs: Arrays, known: Mapping[str, Sequence[int]]) -> memoryview:
    """Take one tensor, perhaps from the bytes behind the JSON; returns what is left of them."""
    if not isinstance(tensor, dict):
        raise InputError(f"An input must be an object; got {type(tensor).__name__}")
    name, kind, shape = str(tensor.get("name")), tensor.get("datatype"), tensor.get("shape")
    if name not in known:
        hint = close_names(str(name), known) or f"Inputs: {', '.join(known)}"
        raise InputError(f"There is no input {name!r}", fix=hint)
    if name in inputs:
        raise InputError(f"The input '{name}' is there twice")
    if not isinstance(kind, str) or kind not in TYPES:
        raise InputError(f"The datatype of '{name}' must be one of {', '.join(TYPES)}; got {kind!r}")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise InputError(f"The shape of '{name}' must be a list of integers from 0; got {shape!r}")
    if shape[1:] != list(known[name]):
        raise InputError(f"The shape of '{name}' must be {[-1, *known[name]]}; got {shape}")
    count = math.prod(shape)
    size = _parameter(tensor, "binary_data_size")
    if size is not None:
        width = np.dtype(TYPES[kind]).itemsize
        if type(size) is not int or size != count * width:
            raise InputError(f"'{name}' of shape {shape} must be {count * width} bytes; got {size}")
        if size > len(tail):
            raise InputError(f"'{name}' must have {size} bytes behind the JSON; there are {len(tail)}")
        values = np.frombuffer(tail[:size], TYPES[kind])
        tail = tail[size:]
    else:
        values = _listed(name, tensor.get("data"), count)
    with np.errstate(over="ignore"):  # what does not fit is told just below
        values = values.reshape(shape).astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"All values of '{name}' must be finite in FP32")
    inputs[name] = values
    return tail


def _listed(name: str, data: Any, count: int) -> npt.NDArray[Any]:
    if not isinstance(data, list):
        raise InputError(f"'{name}' must have \"data\", a list, or bytes behind the JSON")
    try:
        values = np.asarray(data, np.float64).ravel()
    except (ValueError, TypeError):
        raise InputError(f"The \"data\" of '{name}' must be numbers, nested evenly") from None
    except OverflowError:
        raise InputError(f"All values of '{name}' must be finite in FP32") from None
    if values.size != count:
        raise InputError(f"'{name}' must have {count} values; got {values.size}")
    return values


def _outputs(asked: Any, found: Request, known: Mapping[str, Any]) -> None:
    if asked is None:
        return
    if not isinstance(asked, list):
        raise InputError('"outputs" must be a list')
    for output in asked:
        name = str(output.get("name")) if isinstance(output, dict) else ""
        if name not in known:
            raise InputError(f"There is no output {name!r}", fix=f"Outputs: {', '.join(known)}")
        found.outputs.append(name)
        binary = _parameter(output, "binary_data")
        if binary is not None:
            found.binary[name] = binary is True


def _parameter(place: Json, name: str) -> Any:
    parameters = place.get("parameters")
    return parameters.get(name) if isinstance(parameters, dict) else None


def write(request: Request, outputs: Arrays, model: str, version: str) -> tuple[bytes, dict[str, str]]:
    """The body of the answer and its headers."""
    listed, tails = [], []
    for name in request.outputs or list(outputs):
        values = np.ascontiguousarray(outputs[name], "<f4")
        tensor: Json = {"name": name, "datatype": "FP32", "shape": list(values.shape)}
        if request.binary.get(name, request.all_binary):
            tensor["parameters"] = {"binary_data_size": values.nbytes}
            tails.append(values.tobytes())
        else:
            flat = values.ravel()
            tensor["data"] = [v if math.isfinite(v) else None for v in flat.tolist()]
        listed.append(tensor)
    answer: Json = {"model_name": model, "model_version": version, "outputs": listed}
    if request.id:
        answer["id"] = request.id
    head = json.dumps(answer).encode()
    if not tails:
        return head, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", LENGTH_HEADER: str(len(head))}
    return head + b"".join(tails), headers


def metadata(name: str, versions: Sequence[str], about: Json) -> Json:
    """What a model takes and gives."""
    return {
        "name": name,
        "versions": list(versions),
        "platform": "caffe",
        "inputs": [
            {"name": n, "datatype": "FP32", "shape": [-1, *shape]} for n, shape in about["inputs"].items()
        ],
        "outputs": [
            {"name": n, "datatype": "FP32", "shape": [-1, *shape[1:]] if shape else [-1]}
            for n, shape in about["outputs"].items()
        ],
    }
