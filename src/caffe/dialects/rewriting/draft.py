"""What rewrites work on: layers with their parameters' values, the blobs' shapes, and names that are free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.dialects.dialect import Dialect
from caffe.proto import caffe_pb2

Layer = caffe_pb2.LayerParameter
Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass
class Piece:
    """A layer, and the values of its parameters; None where the net's weights are not at hand."""

    layer: Layer
    arrays: list[Array] | None


class Draft:
    """The net that is being rewritten, as far as a rewrite of one layer needs it."""

    def __init__(self, dialect: Dialect, layers: Iterable[Layer], shapes: Mapping[str, Shape] | None) -> None:
        self.dialect = dialect
        self.shapes: dict[str, Shape] = dict(shapes or {})
        self._names: set[str] = set()
        for layer in layers:
            self._names.update((layer.name, *layer.bottom, *layer.top))

    def unique(self, name: str) -> str:
        """A name that no layer and no blob has yet; it counts as taken from now on."""
        free, n = name, 1
        while free in self._names:
            n += 1
            free = f"{name}_{n}"
        self._names.add(free)
        return free

    def state(self) -> tuple[set[str], dict[str, Shape]]:
        """What to go back to where a rewrite leads nowhere."""
        return set(self._names), dict(self.shapes)

    def restore(self, state: tuple[set[str], dict[str, Shape]]) -> None:
        self._names, self.shapes = state

    def shape(self, blob: str) -> Shape | None:
        return self.shapes.get(blob)

    def between(self, of: Layer, word: str, shape: Shape | None = None) -> str:
        """A new blob (and a name for the layer that makes it) inside of what takes a layer's place."""
        name = self.unique(f"{of.name}_{word}")
        if shape is not None:
            self.shapes[name] = shape
        return name


def layer(of: Layer, type_name: str, name: str, bottoms: Sequence[str], tops: Sequence[str]) -> Layer:
    """A new layer in a layer's place: in the same phases."""
    made = Layer(name=name, type=type_name)
    made.bottom.extend(bottoms)
    made.top.extend(tops)
    made.include.extend(of.include)
    made.exclude.extend(of.exclude)
    if of.HasField("phase"):
        made.phase = of.phase
    return made


def step(of: Layer, type_name: str, bottom: str, top: str) -> Layer:
    """A new layer of one bottom, named like the blob that it makes; the last one takes the layer's name."""
    return layer(of, type_name, of.name if top == of.top[0] else top, [bottom], [top])


def renamed(of: Layer, type_name: str) -> Layer:
    """The same layer as another type, with all its fields."""
    made = Layer()
    made.CopyFrom(of)
    made.type = type_name
    return made


def without_values(*pieces: Layer) -> list[Piece]:
    """Layers that have no parameters."""
    return [Piece(each, []) for each in pieces]


def fixed(made: Layer, count: int) -> None:
    """Keep a solver from changing a layer's parameters, which stand for constants."""
    for _ in range(count):
        made.param.add(lr_mult=0, decay_mult=0)


def constants(*arrays: Array) -> list[Array]:
    return [np.ascontiguousarray(a, np.float32) for a in arrays]


Rewrite = Callable[[Piece, Draft], "list[Piece] | None"]
REWRITES: dict[str, list[tuple[Rewrite, str]]] = {}
"""By layer type: functions that give pieces of equal result, or None where there is no such form."""


def rewrites(*types: str, says: str) -> Callable[[Rewrite], Rewrite]:
    """Register a rewrite of layers of some types; ``says`` is what the report calls the new form."""

    def register(function: Rewrite) -> Rewrite:
        for name in types:
            REWRITES.setdefault(name, []).append((function, says))
        return function

    return register
