"""A net as source code: a module of torch.nn as a person would write it, and its weights as safetensors."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from caffe.export import tensors
from caffe.export.check import Arrays, Runner
from caffe.export.source.blocks import blocks_of, class_names
from caffe.export.source.body import identifier
from caffe.export.source.classes import BlockClass, NetClass, tensor_count
from caffe.export.source.copying import source_of
from caffe.export.source.steps import State, steps_of
from caffe.export.torch_net import TorchNet

PathLike = str | os.PathLike[str]

_LOAD = '''

def load(path=Path(__file__).with_suffix(".safetensors")):
    """The net with its weights, for inference."""
    model = {name}()
    model.load_state_dict(load_file(path))
    return model.eval()
'''


def source(module: TorchNet, weights: str = "") -> tuple[str, State]:
    """The text of a Python file, and the state of the class in it. ``weights`` is the name of the file of the state.

    Raises ExportError for a layer that has no plain form.
    """
    graph = module.graph
    steps = steps_of(module)
    parts = {
        step.made.kind.__name__
        for step in steps
        if step.made is not None and not step.made.kind.__module__.startswith("torch.")
    }
    copied = source_of(parts)
    taken = {"F", "Path", "load", "load_file", *re.findall(r"^(?:class|def) (\w+)", copied, re.MULTILINE)}
    name = _class_name(graph.name)
    name = f"{name}Net" if name in taken else name
    taken.add(name)
    grouped = blocks_of(steps, graph.outputs)
    classes = [BlockClass(*found) for found in zip(class_names(grouped, taken), grouped)]
    doc = [f'"""{_first_line(module)}', "", *_interface(module), '"""', ""]
    net = NetClass(name, doc, steps, classes, list(graph.inputs), graph.outputs)
    pieces = [copied] if copied else []
    pieces += ["\n".join(found.lines()) for found in classes]
    pieces.append("\n".join(net.lines))
    text = "\n\n\n".join(pieces) + "\n" + _LOAD.format(name=name)
    return _header(text, name, weights, tensor_count(net.state)) + text, net.state


def write(
    module: TorchNet,
    path: PathLike,
    weights: PathLike,
    metadata: dict[str, str] | None = None,
    name: str | None = None,
) -> None:
    """Write the source and the weights, which it says are called ``name``. Raises ExportError, MissingPackageError."""
    text, state = source(module, name or Path(weights).name)
    tensors.write(state, weights, metadata)
    Path(path).write_text(text, encoding="utf-8")


def runner(path: PathLike, weights: PathLike, module: TorchNet) -> Runner:
    """A function from arrays to outputs by name, from the written files."""
    model = runpy.run_path(os.fspath(path))["load"](weights)

    def run(arrays: Arrays) -> dict[str, Any]:
        with torch.no_grad():
            values = model(*[torch.from_numpy(arrays[n]) for n in module.input_names])
        values = (values,) if isinstance(values, torch.Tensor) else values
        return {name: value.numpy() for name, value in zip(module.output_names, values)}

    return run


def _class_name(name: str) -> str:
    words = [w.lower() if w.isupper() and len(w) > 4 else w for w in re.findall(r"[A-Za-z0-9]+", name)]
    joined = "".join(w[0].upper() + w[1:] for w in words)
    return identifier(f"Net{joined}" if not joined or joined[0].isdigit() else joined)


def _first_line(module: TorchNet) -> str:
    graph = module.graph
    file = f", from {os.path.basename(graph.file)}" if graph.file else ""
    return f"{graph.name or 'A net'}{file}.".replace("\\", "/").replace('"', "'")


def _interface(module: TorchNet) -> Sequence[str]:
    shapes = {n: " × ".join(map(str, ("N", *s[1:]))) for n, s in module.graph.inputs.items()}
    taken = ", ".join(f"{identifier(name)} ({shape})" for name, shape in shapes.items())
    return [f"Takes {taken}; gives {', '.join(module.output_names)}."]


def _header(text: str, name: str, weights: str, count: int) -> str:
    imports = [
        "from pathlib import Path",
        "",
        "import torch",
        "import torch.nn.functional as F",
        "from safetensors.torch import load_file",
        "from torch import nn",
    ]
    used = [line for line in imports if line != imports[3] or "F." in text]
    used = [line for line in used if line != "import torch" or re.search(r"\btorch\.", text)]
    if re.search(r"\bmath\.", text):
        used.insert(0, "import math")
    annotated = ["from __future__ import annotations", ""] if "torch.Tensor" in text else []
    of = f" from {weights}" if weights else ""
    values = f"{count / 1e6:.1f} million" if count > 1e5 else f"{count:,}"
    doc = f'"""{name} in PyTorch; ``load()`` reads its {values} values{of}."""'
    return "\n".join([doc, "", *annotated, *used, "", "", ""])
