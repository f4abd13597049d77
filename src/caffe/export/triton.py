"""A model repository for Triton Inference Server: DIR/NAME/config.pbtxt and DIR/NAME/1/model.onnx."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from caffe.errors import InputError
from caffe.export.packages import package

MOST_ITEMS = 64
"""The largest batch that the server puts together."""
_TYPES = {1: "TYPE_FP32", 2: "TYPE_UINT8", 7: "TYPE_INT64", 10: "TYPE_FP16"}

PathLike = str | os.PathLike[str]


def place(folder: PathLike, name: str, force: bool = False) -> Path:
    """Where the model's file goes, in a folder made for it. Raises InputError for one that exists."""
    model = Path(folder) / re.sub(r"[^\w.-]+", "_", name or "net")
    if model.exists() and not force:
        raise InputError(f"{model} exists", fix="Give another folder, or --force to replace it")
    (model / "1").mkdir(parents=True, exist_ok=True)
    return model / "1" / "model.onnx"


def configure(path: Path, batched: bool, labels: str = "") -> Path:
    """Write the configuration of a model file in its place. ``batched``: axis 0 of everything is the batch's."""
    onnx = package("onnx", "a Triton repository")
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {x.name for x in graph.initializer}
    folder = path.parent.parent
    lines = [
        f'name: "{folder.name}"',
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {MOST_ITEMS * batched}",
    ]
    for value in (x for x in graph.input if x.name not in weights):
        lines += _tensor("input", value, batched)
    for i, value in enumerate(graph.output):
        lines += _tensor("output", value, batched, "labels.txt" if labels and i == 0 else "")
    if batched:
        lines.append("dynamic_batching { }")
    if labels:
        (folder / "labels.txt").write_text(labels, encoding="utf-8")
    config = folder / "config.pbtxt"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


def _tensor(kind: str, value: Any, batched: bool, labels: str = "") -> list[str]:
    tensor = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
    dims = dims[1:] if batched else dims
    lines = [f'  name: "{value.name}"', f"  data_type: {_TYPES[tensor.elem_type]}", f"  dims: {dims or [1]}"]
    if labels:
        lines.append(f'  label_filename: "{labels}"')
    return [f"{kind} {{", *lines, "}"]
