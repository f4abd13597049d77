"""What ONNX's operators are in PyTorch's, one family a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from caffe.errors import InputError
from caffe.importing.graph import Graph

A = torch.ops.aten
FAMILIES = ("neural", "tensors", "values")
HANDLERS: dict[str, Callable[..., Any]] = {}
"""Each operator's function of a Call and its inputs."""


def onnx_op(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what operators become."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        HANDLERS.update(dict.fromkeys(names, function))
        return function

    return register


@dataclass
class Call:
    """A node: its attributes, and how it adds to the graph."""

    graph: Graph
    name: str
    where: str
    attributes: dict[str, Any]
    opset: int
    outputs: int

    def __call__(self, target: Any, *args: Any, like: Any = None, **kwargs: Any) -> Any:
        return self.graph.call(target, *args, name=self.name, where=self.where, like=like, **kwargs)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(name, default)

    def constant(self, value: Any, what: str) -> torch.Tensor:
        """An input that must be known before running. Raises InputError."""
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"{self.where}: {what} depends on the model's input, so shapes are not fixed",
                fix="Export the model with fixed shapes, or simplify it (onnxsim) first",
            )
        return value

    def ints(self, attribute: str, value: Any, what: str = "") -> list[int] | None:
        """A list of integers that is an attribute or, in newer opsets, an input."""
        if value is not None:
            return [int(n) for n in self.constant(value, what or attribute).reshape(-1).tolist()]
        values = self.get(attribute)
        return None if values is None else list(values)

    def refuse(self, what: str) -> InputError:
        """An error at this node."""
        return InputError(f"{self.where}: {what}")


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a value or constant."""
    return tuple(x.shape)


def same_pads(
    size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], upper: bool
) -> list[int]:
    """Paddings, before and behind each axis, of auto_pad SAME."""
    before, behind = [], []
    for n, k, s, d in zip(size, kernel, strides, dilations):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        small = total // 2
        before.append(small if upper else total - small)
        behind.append(total - before[-1])
    return before + behind
