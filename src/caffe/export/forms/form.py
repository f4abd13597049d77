"""Form: how a layer is written in plain torch, to be run and to be printed."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from caffe.export.graph import Node

Tensors = dict[str, torch.Tensor]


@dataclass
class Made:
    """A module by its class and what it is made with."""

    kind: type[nn.Module]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The module, its parameters without memory."""
        with torch.device("meta"):
            return self.kind(*self.args, **self.kwargs)

    def __str__(self) -> str:
        """As source text; keywords that say what the class does anyway are left out."""
        own = not self.kind.__module__.startswith("torch.")
        name = self.kind.__name__ if own else f"nn.{self.kind.__name__}"
        usual = {k: literal(p.default) for k, p in inspect.signature(self.kind).parameters.items()}
        kwargs = {k: literal(v) for k, v in self.kwargs.items()}
        arguments = [
            *map(literal, self.args),
            *(f"{k}={text}" for k, text in kwargs.items() if text != usual.get(k)),
        ]
        return f"{name}({', '.join(arguments)})"


@dataclass
class Form:
    """Either a module (``made``), or a function (``call``) with its ``text``.

    ``before`` and ``after`` are what is done to the first bottom and to the top of a module: a function, and its
    text with ``{x}``. In ``text`` ``{0}``, ``{1}`` … are the bottoms, ``{all}`` all of them.
    """

    made: Made | None = None
    call: Callable[..., Any] | None = None
    text: str = ""
    before: tuple[Callable[..., Any], str] | None = None
    after: tuple[Callable[..., Any], str] | None = None
    params: dict[str, str] = field(default_factory=dict)
    """The module's parameters by the node's; those not named are the same."""
    to_state: Callable[[Tensors], Tensors] | None = None
    from_state: Callable[[Tensors], Tensors] | None = None
    """Where the module's values are others than the blobs': there and back."""
    onnx: Callable[..., Any] | None = None
    """What is run in place of it in an export to ONNX, where that has an operator for it."""
    trains: bool = True
    """Whether its gradient is Caffe's; else it is for exports only, and a module to train runs the layer."""


Rule = Callable[[Node], "Form | None"]
RULES: dict[str, Rule] = {}
"""The rule for each layer type."""


def form_of(*types: str) -> Callable[[Rule], Rule]:
    """Register a rule: the form for a node, or None where its fields ask for what has no plain form."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(types, rule))
        return rule

    return register


def module(kind: type[nn.Module], *args: Any, **kwargs: Any) -> Form:
    """A form that is a module."""
    return Form(Made(kind, args, kwargs))


def function(call: Callable[..., Any], text: str, **more: Any) -> Form:
    """A form that is a function of the bottoms."""
    return Form(call=call, text=text, **more)


def literal(value: Any) -> str:
    """A value as source text: floats as short as they can be in single precision."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def number(value: float) -> str:
    """A float of a prototxt: 0.1 rather than 0.10000000149011612, where that is the same in single precision."""
    short = min(
        (f"{value:.{digits}g}" for digits in range(1, 10)),
        key=lambda s: (_single(s) != _single(value), len(s)),
    )
    return repr(float(short)) if _single(short) == _single(value) else repr(value)


def _single(value: Any) -> float:
    return torch.tensor(float(value), dtype=torch.float32).item()


def pair(values: Sequence[int]) -> int | tuple[int, ...]:
    """One number where all are the same."""
    return values[0] if len({*values}) == 1 else tuple(values)
