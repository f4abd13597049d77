"""A net as a graph of pure functions: values by name, parameters, and the state that one forward hands to the next.

    graph = net.graph()
    outputs, state = graph.run({"data": x}, graph.parameter_values(), graph.state_values())

Blobs that layers overwrite in place are several values here, each made once: the last has the blob's name, an earlier
one is ``blob@layer``, with the name of the layer that made it. Gradients go through :meth:`Graph.run` by autograd.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch

from caffe import runtime
from caffe.blob import Blob, Shape
from caffe.errors import InputError, StateError, UnknownNameError, close_names
from caffe.layer import Layer
from caffe.layers.utility.silence import Silence
from caffe.layers.utility.split import Split
from caffe.net.wiring import Wiring
from caffe.precision import autocast
from caffe.randomness import RandomState, drawing_again, random_state
from caffe.tensor_layer import TensorLayer

Kind = Literal["function", "source", "python"]
Tensors = Sequence[torch.Tensor]

RANDOM = "torch.random"
"""The name in a state of torch's generator (its ``get_state()``), for graphs that draw random numbers."""


@dataclass(frozen=True)
class Node:
    """A layer in its place, with the names of the values it takes and makes."""

    index: int
    """Its place among the net's layers."""
    layer: Layer
    kind: Kind
    """``function`` runs purely; ``source`` brings the net's data; ``python`` is code of the user's or with effects."""
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: tuple[str, ...] = ()
    """The layer's blobs in Caffe's order, by their owners' names: ``conv1[0]``."""
    carried: tuple[str, ...] = ()
    """What goes on from one forward to the next besides statistics: ``lstm1.carried[0]``."""
    learns: tuple[bool, ...] = ()
    """Which of ``blobs`` are parameters; the others are statistics."""
    file: str | None = None
    line: int | None = None

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def type(self) -> str:
        """The layer's type, as the prototxt names it."""
        return self.layer.type

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those of ``blobs`` that may learn."""
        return tuple(name for name, learns in zip(self.blobs, self.learns) if learns)

    @property
    def state(self) -> tuple[str, ...]:
        """The statistics among ``blobs``, then what is ``carried``."""
        return (*(n for n, learns in zip(self.blobs, self.learns) if not learns), *self.carried)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the layer's ``compute`` takes behind the bottoms: ``blobs``, then ``carried``."""
        return (*self.blobs, *self.carried)

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers, in its phase."""
        return isinstance(self.layer, TensorLayer) and self.layer.draws

    @property
    def place(self) -> dict[str, str | int | None]:
        """Where it is, for errors: file, line, layer, type."""
        return {"file": self.file, "line": self.line, "layer": self.name, "type": self.type}

    def run(self, bottoms: Tensors, arguments: Tensors = ()) -> tuple[Tensors, dict[str, torch.Tensor]]:
        """The tops, and new values of what is in ``state`` and changes; nothing else happens.

        ``arguments`` are the values of :attr:`arguments`. Raises StateError unless the kind is ``function``.
        """
        if isinstance(self.layer, TensorLayer):
            count = len(self.blobs)
            tops, state = self.layer.evaluate(bottoms, arguments[:count], arguments[count:])
            return tops, dict(zip(self.state, state))
        if self.kind == "function":  # Split, Silence
            return [bottoms[0]] * len(self.tops), {}
        raise StateError(
            f"is a layer of kind '{self.kind}': it is no function of its bottoms",
            fix="Give its tops as inputs, or write it as a caffe.TensorLayer",
            **self.place,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Graph:
    """A net's nodes in order, and what their names mean. Shapes are those of when it was made."""

    nodes: tuple[Node, ...]
    inputs: dict[str, Shape] = field(default_factory=dict)
    """What Input and data layers give."""
    outputs: tuple[str, ...] = ()
    shapes: dict[str, Shape] = field(default_factory=dict)
    """Of every value."""
    blob_of: dict[str, str] = field(default_factory=dict)
    """Each value's blob, by name."""
    losses: dict[str, float] = field(default_factory=dict)
    """The values that the loss is the sum of, with their weights."""
    parameters: dict[str, Blob] = field(default_factory=dict)
    """What may learn, shared ones once, under their owner's name."""
    statistics: dict[str, Blob] = field(default_factory=dict)
    """The blobs that are state."""

    def parameter_values(self) -> dict[str, torch.Tensor]:
        """The parameters' present values."""
        return {name: blob.tensor for name, blob in self.parameters.items()}

    def state_values(self) -> dict[str, torch.Tensor]:
        """The state's present values: statistics, and what layers carry (nothing before the first forward)."""
        values = {name: blob.tensor for name, blob in self.statistics.items()}
        for node in self.nodes:
            if isinstance(node.layer, TensorLayer):
                values.update(zip(node.carried, node.layer.carried))
        return values

    def maker(self, value: str) -> Node:
        """The node that makes a value. Raises UnknownNameError."""
        for node in self.nodes:
            if value in node.tops:
                return node
        raise UnknownNameError(
            f"No value of the net is called '{value}'", fix=close_names(value, self.shapes)
        )

    def run(
        self,
        inputs: Mapping[str, torch.Tensor],
        parameters: Mapping[str, torch.Tensor] | None = None,
        state: Mapping[str, torch.Tensor] | None = None,
        outputs: Iterable[str] | None = None,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The net as one function: values of ``outputs`` (the net's, unless given) and the state after it.

        Any values may be ``inputs``; only nodes that the outputs depend on run. What ``parameters`` and ``state``
        leave out is taken from the net as it is. With ``torch.random`` in ``state`` random numbers are drawn from
        there, and it is in the state returned; else from torch's generator. Nothing of the net changes.
        Raises UnknownNameError, InputError for a missing input, StateError for a node that is no function, and what
        layers raise.
        """
        wanted = list(self.outputs if outputs is None else outputs)
        values = dict(inputs)
        arguments = {**self.parameter_values(), **self.state_values(), **(parameters or {}), **(state or {})}
        after = {**self.state_values(), **(state or {})}
        nodes = self._needed(wanted, values)
        start = (state or {}).get(RANDOM)
        drawing = nullcontext() if start is None else drawing_again(_state_of(start))
        with autocast(runtime.device()), drawing:
            for node in nodes:
                given = [self._argument(node, i, arguments) for i in range(len(node.arguments))]
                taken = [x for x in given if x is not None]
                tops, changed = node.run([values[name] for name in node.bottoms], taken)
                values.update((n, x) for n, x in zip(node.tops, tops) if n not in inputs)
                arguments.update(changed)
                after.update(changed)
            if start is not None:
                after[RANDOM] = torch.get_rng_state()
        return {name: values[name] for name in wanted}, after

    def _needed(self, wanted: Sequence[str], given: Mapping[str, torch.Tensor]) -> list[Node]:
        """The nodes that make the wanted values of the given ones, in order."""
        missing = [name for name in (*wanted, *given) if name not in self.shapes]
        if missing:
            self.maker(missing[0])
        needed, nodes = {name for name in wanted if name not in given}, []
        for node in reversed(self.nodes):
            if needed.isdisjoint(node.tops):
                continue
            if node.kind == "source":
                lacking = next(name for name in node.tops if name in needed)
                raise InputError(
                    f"the value '{lacking}' of layer '{node.name}' must be given; got {', '.join(given) or 'none'}"
                )
            nodes.append(node)
            needed.update(name for name in node.bottoms if name not in given)
        return nodes[::-1]

    @staticmethod
    def _argument(node: Node, index: int, values: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """One of a node's arguments; None for what is carried and not there yet."""
        if index >= len(node.blobs):
            return values.get(node.carried[index - len(node.blobs)])
        own, value = node.layer.blobs[index].shape, values[node.blobs[index]]
        return value if tuple(value.shape) == own else value.reshape(own)  # shared PERMISSIVE


def graph_of(wiring: Wiring) -> Graph:
    """The graph of a wired net."""
    makers = _last_makers(wiring)
    present: dict[int, str] = {}  # blob → its value now
    nodes: list[Node] = []
    graph = Graph((), outputs=tuple(wiring.outputs))
    for i, step in enumerate(wiring.steps):
        layer = step.layer
        bottoms = tuple(present[id(blob)] for blob in step.bottom)
        tops = []
        for k, (blob, name) in enumerate(zip(step.top, step.top_names)):
            value = name if makers[id(blob)] == i else f"{name}@{layer.name}"
            value = f"{layer.name}.top[{k}]" if name == "(automatic)" else value
            value = value if value not in graph.shapes else f"{value}#{i}"  # layers of one name
            present[id(blob)] = value
            tops.append(value)
            graph.shapes[value], graph.blob_of[value] = blob.shape, name
        graph.losses.update((v, w) for v, w in zip(tops, step.loss_weights) if w)
        kind = _kind(layer, bool(step.bottom))
        if kind == "source":
            graph.inputs.update((value, graph.shapes[value]) for value in tops)
        specs = layer.specs if isinstance(layer, TensorLayer) else []
        owners = wiring.params.owners[i]
        learns = tuple(not (k < len(specs) and not specs[k].learns) for k in range(len(layer.blobs)))
        for owner, learning in zip(owners, learns):
            (graph.parameters if learning else graph.statistics)[owner.blob.name] = owner.blob
        carried: tuple[str, ...] = ()
        if isinstance(layer, TensorLayer):
            carried = tuple(
                f"{layer.name}.carried[{k}]"
                for k in range(len(layer.carries(*(b.shape for b in step.bottom))))
            )
        nodes.append(
            Node(
                i,
                layer,
                kind,
                bottoms,
                tuple(tops),
                tuple(owner.blob.name for owner in owners),
                carried,
                learns,
                wiring.file,
                step.line,
            )
        )
    return Graph(
        tuple(nodes),
        graph.inputs,
        graph.outputs,
        graph.shapes,
        graph.blob_of,
        graph.losses,
        graph.parameters,
        graph.statistics,
    )


def _kind(layer: Layer, has_bottoms: bool) -> Kind:
    if isinstance(layer, (TensorLayer, Split, Silence)):
        return "function"
    return "source" if layer.source or not has_bottoms else "python"


def _last_makers(wiring: Wiring) -> dict[int, int]:
    """For each blob the place of the last layer that writes it."""
    return {id(blob): i for i, step in enumerate(wiring.steps) for blob in step.top}


def _state_of(generator: torch.Tensor) -> RandomState:
    now = random_state()
    return RandomState(generator, now.cuda, now.numpy)
