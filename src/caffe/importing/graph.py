"""The small graph that both front ends make: calls of PyTorch's operators on values of known shape.

PyTorch's operators (``aten``) are the common language: they are documented, they can be run, and run without
values (torch's meta device) they give shapes. What depends on no input is run at once and is a constant from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from caffe.torch_private import schema

Shape = tuple[int, ...]


@dataclass(eq=False)
class Value:
    """What an input or a node gives: its shape and type are known, its values are not."""

    name: str
    shape: Shape
    dtype: torch.dtype = torch.float32


@dataclass(eq=False)
class Node:
    """One call of an operator. ``where`` is its place in the user's source, for errors."""

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    name: str
    where: str
    outputs: list[Value] = field(default_factory=list)
    several: bool = False
    """Whether the operator gives a list of tensors, even if it is a list of one."""

    @property
    def op(self) -> str:
        """The operator's name without its overload: ``conv2d``, ``add``."""
        return operator_name(self.target)

    def arguments(self) -> dict[str, Any]:
        """The arguments by the names in the operator's schema, defaults included."""
        by_name = {}
        for i, arg in enumerate(schema(self.target).arguments):
            if i < len(self.args):
                by_name[arg.name] = self.args[i]
            elif arg.name in self.kwargs:
                by_name[arg.name] = self.kwargs[arg.name]
            elif arg.has_default_value():
                by_name[arg.name] = arg.default_value
        return by_name

    def values(self) -> list[Value]:
        """The values that it reads, each once."""
        read = list(leaves((self.args, self.kwargs)))
        return list(dict.fromkeys(v for v in read if isinstance(v, Value)))


@dataclass
class Graph:
    """Inputs, nodes in the order of running, and outputs by name (a value, or a constant tensor)."""

    inputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    outputs: dict[str, Value | torch.Tensor] = field(default_factory=dict)

    def call(
        self, target: Any, *args: Any, name: str = "", where: str = "", like: Any = None, **kwargs: Any
    ) -> Any:
        """Append a call; returns its value or values, or a tensor where nothing depends on an input.

        ``like`` is the result without values, if it is known already.
        """
        known = [a for a in leaves((args, kwargs)) if isinstance(a, Value)]
        if not known:
            with torch.no_grad():
                return target(*args, **kwargs)
        if like is None:
            with torch.no_grad():
                like = target(*swapped(args, _meta), **swapped(kwargs, _meta))
        node = Node(target, args, kwargs, name or operator_name(target), where)
        node.several = isinstance(like, (list, tuple))
        results = [r for r in like if isinstance(r, torch.Tensor)] if node.several else [like]
        node.outputs = [Value(node.name, tuple(int(n) for n in r.shape), r.dtype) for r in results]
        self.nodes.append(node)
        return list(node.outputs) if node.several else node.outputs[0]

    def run(self, inputs: Sequence[torch.Tensor]) -> dict[Value, torch.Tensor]:
        """Every value for these inputs, by PyTorch."""
        known: dict[Value, torch.Tensor] = dict(zip(self.inputs, inputs))

        def real(leaf: Any) -> Any:
            return known[leaf] if isinstance(leaf, Value) else leaf

        with torch.no_grad():
            for node in self.nodes:
                result = node.target(*swapped(node.args, real), **swapped(node.kwargs, real))
                results = [r for r in result if isinstance(r, torch.Tensor)] if node.several else [result]
                known.update(zip(node.outputs, results))
        return known

    def drop_unused(self) -> None:
        """Take out the nodes that no output depends on."""
        wanted = {v for v in self.outputs.values() if isinstance(v, Value)}
        kept = []
        for node in reversed(self.nodes):
            if any(v in wanted for v in node.outputs):
                wanted.update(node.values())
                kept.append(node)
        self.nodes = kept[::-1]


def operator_name(target: Any) -> str:
    """``conv2d`` for ``aten.conv2d.default``."""
    schema = getattr(target, "_schema", None)
    return schema.name.rpartition("::")[2] if schema is not None else str(getattr(target, "__name__", target))


def leaves(tree: Any) -> Iterator[Any]:
    """What nested tuples, lists and dicts hold."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, (list, tuple)):
        for branch in tree:
            yield from leaves(branch)
    else:
        yield tree


def swapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """Nested tuples, lists and dicts with every leaf changed."""
    if isinstance(tree, dict):
        return {k: swapped(v, change) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([swapped(v, change) for v in tree])
    return change(tree)


def _meta(leaf: Any) -> Any:
    if isinstance(leaf, Value):
        return torch.empty(leaf.shape, dtype=leaf.dtype, device="meta")
    return leaf.to("meta") if isinstance(leaf, torch.Tensor) else leaf
