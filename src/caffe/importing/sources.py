"""Where a model to convert comes from: an ONNX file, a .pt2 file, a function of a module, torchvision, timm."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from caffe import limits
from caffe.errors import InputError, MissingFileError, MissingPackageError, ParseError, close_names
from caffe.formats.pt2 import load_program
from caffe.importing import conversion, torch_front
from caffe.importing.conversion import Conversion
from caffe.importing.from_onnx import convert_onnx
from caffe.importing.from_torch import convert_torch, judge_of

_IMAGE = (1, 3, 224, 224)


def convert_source(
    source: str,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    outputs: Sequence[str] = (),
    weights: str | None = None,
    pretrained: bool = False,
    **options: Any,
) -> Conversion:
    """Convert what ``source`` names: ``x.onnx``, ``x.pt2``, ``module.py:function``, ``torchvision:name``,
    ``timm:name``.

    ``shapes`` are inputs' shapes by name, or under "" the shape of the only one. ``weights`` is a state_dict's file for
    a model made by code. Raises InputError for a source that is none of these, and what converting raises.
    """
    shapes = dict(shapes or {})
    if source.lower().endswith(".onnx"):
        if "" in shapes:
            from caffe.importing.onnx_front import load

            model = load(source)
            known = {i.name for i in model.graph.initializer}
            names = [i.name for i in model.graph.input if i.name not in known]
            if len(names) != 1:
                raise InputError(
                    f"The model has the inputs {names}", fix="Give each shape as --shape=NAME:1,3,224,224"
                )
            shapes[names[0]] = shapes.pop("")
        return convert_onnx(source, shapes=shapes, outputs=outputs, **options)
    if outputs:
        raise InputError("Tensors to stop at can be named in ONNX models only", field="outputs")
    if source.lower().endswith(".pt2"):
        return _from_pt2(source, shapes, **options)
    module, examples = _built(source, pretrained)
    if weights is not None:
        load_weights(module, weights)
    if shapes:
        examples = tuple(torch.randn(*s) for s in shapes.values())
    return convert_torch(module, examples, **options)


def _from_pt2(path: str, shapes: Mapping[str, Sequence[int]], **options: Any) -> Conversion:
    """A saved ExportedProgram."""
    program = load_program(path)
    inputs = torch_front.inputs_of(program)
    if shapes or any(not all(isinstance(n, int) for n in x.shape) for x in inputs.values()):
        program = _at_sizes(program, inputs, shapes, path)
    graph = torch_front.graph_of(program)
    generator = torch.Generator().manual_seed(0)
    examples = [_example(v.shape, v.dtype, generator) for v in graph.inputs]
    options.setdefault("name", Path(path).stem)
    return conversion.convert(graph, judge_of(program.module(), len(graph.outputs)), examples, **options)


def _at_sizes(
    program: Any, inputs: Mapping[str, torch.Tensor], shapes: Mapping[str, Sequence[int]], path: str
) -> Any:
    """The program exported anew for fixed sizes: those given, else those it was exported with."""
    unknown = set(shapes) - {"", *inputs}
    if unknown or ("" in shapes and len(inputs) != 1):
        raise InputError(
            f"Shapes are for the inputs {list(inputs)}; got {sorted(unknown) or 'one without a name'}",
            file=path,
            fix=f"Give each shape as --shape={next(iter(inputs), 'x')}:1,3,224,224",
        )
    generator = torch.Generator().manual_seed(0)
    examples = []
    for name, x in inputs.items():
        sizes = [n if isinstance(n, int) else n.node.hint for n in x.shape]
        examples.append(_example(shapes.get(name) or shapes.get("") or sizes, x.dtype, generator))
    module = program.module()
    try:
        module(*examples)
    except (AssertionError, RuntimeError) as error:
        given = ", ".join(str(list(x.shape)) for x in examples)
        raise InputError(
            f"The program does not take inputs of {given}: {str(error).splitlines()[0]}", file=path
        ) from None
    return torch_front.exported(torch_front.attached(module), examples)


def _example(shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    if dtype.is_floating_point:
        return torch.randn(*shape, generator=generator)
    return torch.ones(*shape, dtype=dtype)


def _built(source: str, pretrained: bool) -> tuple[torch.nn.Module, Any]:
    """The module, and example inputs for it."""
    kind, colon, name = source.rpartition(":")
    if colon and kind == "torchvision":
        return _torchvision(name, pretrained), _IMAGE
    if colon and kind == "timm":
        return _timm(name, pretrained)
    if colon and kind.endswith(".py"):
        return _function(kind, name)
    raise InputError(
        f"'{source}' names no model",
        fix="Give a file of ONNX (.onnx), of torch.export (.pt2), module.py:function, torchvision:NAME or timm:NAME",
    )


def _torchvision(name: str, pretrained: bool) -> torch.nn.Module:
    try:
        from torchvision import models
    except ImportError:
        raise MissingPackageError(
            "Models of torchvision need the package 'torchvision'",
            fix="Install it with: pip install torchvision",
        ) from None
    if name not in models.list_models():
        raise InputError(
            f"torchvision has no model '{name}'", fix=close_names(name, models.list_models()) or None
        )
    options: dict[str, Any] = {"weights": "DEFAULT" if pretrained else None}
    if "weights_backbone" in str(_parameters_of(models.get_model_builder(name))) and not pretrained:
        options["weights_backbone"] = None
    module: torch.nn.Module = models.get_model(name, **options)
    return module


def _parameters_of(function: Any) -> list[str]:
    import inspect

    return list(inspect.signature(function).parameters)


def _timm(name: str, pretrained: bool) -> tuple[torch.nn.Module, Any]:
    try:
        import timm
    except ImportError:
        raise MissingPackageError(
            "Models of timm need the package 'timm'", fix="Install it with: pip install timm"
        ) from None
    if not timm.is_model(name):
        raise InputError(f"timm has no model '{name}'", fix=close_names(name, timm.list_models()) or None)
    module = timm.create_model(name, pretrained=pretrained)
    return module, (1, *module.default_cfg.get("input_size", _IMAGE[1:]))


def _function(path: str, name: str) -> tuple[torch.nn.Module, Any]:
    """A function of a file gives the module, or the module and its example inputs."""
    if not os.path.isfile(path):
        raise MissingFileError("There is no such file", file=path)
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise InputError("It cannot be imported", file=path)
    module = importlib.util.module_from_spec(spec)
    folder = str(Path(path).resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, name):
            raise InputError(f"It has no '{name}'", file=path, fix=close_names(name, dir(module)) or None)
        function = getattr(module, name)
        made = function() if callable(function) and not isinstance(function, torch.nn.Module) else function
    finally:
        sys.path.remove(folder)
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module):
        return made
    if isinstance(made, torch.nn.Module):
        return made, _IMAGE
    raise InputError(
        f"'{name}' must give a torch.nn.Module, or one and its example inputs; got {type(made).__name__}",
        file=path,
    )


def load_weights(module: torch.nn.Module, path: str) -> None:
    """Fill a module from a state_dict's file. Raises MissingFileError, MissingPackageError, ParseError."""
    if not os.path.isfile(path):
        raise MissingFileError("There is no such file", file=path)
    with limits.guarding(ParseError, path):  # what safetensors and torch say of damaged files
        state = _state_of(path)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ParseError(f"Its weights do not fit the module: {error}", file=path) from None


def _state_of(path: str) -> dict[str, torch.Tensor]:
    state: Any
    if path.endswith(".safetensors"):
        try:
            from safetensors.torch import load_file
        except ImportError:
            raise MissingPackageError.of("safetensors", "export", "Reading safetensors") from None
        state = load_file(path)
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            first = (str(error) or type(error).__name__).splitlines()[0]
            raise ParseError(f"It holds no state_dict: {first}", file=path) from None
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ParseError(f"It holds no state_dict, but a {type(state).__name__}", file=path)
    return {key.removeprefix("module."): value for key, value in state.items()}
