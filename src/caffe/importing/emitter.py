"""Puts layers into a NetParameter, one operator of the small graph after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe import dialects
from caffe.errors import InputError
from caffe.importing.graph import Graph, Node, Shape, Value, swapped
from caffe.importing.place import Place, copied_dims
from caffe.importing.rules import CUTTING, RULES, Inexpressible
from caffe.proto import caffe_pb2
from caffe.proto.assign import assign_proto as assign

Array = npt.NDArray[Any]


@dataclass
class Emitter:
    """Layers, their parameters, and where each value is.

    Rules call ``layer`` and the forms below; all take and give places.
    """

    graph: Graph
    dialect: dialects.Dialect
    net: caffe_pb2.NetParameter = field(default_factory=caffe_pb2.NetParameter)
    blobs: dict[str, list[Array]] = field(default_factory=dict)
    """Each layer's parameters."""
    places: dict[Value, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What was rewritten, for the report."""
    layer_of: dict[str, str] = field(default_factory=dict)
    """Which operator (its name in the graph) each layer came from."""

    def __post_init__(self) -> None:
        self._names: set[str] = set()
        self._node: Node | None = None
        self._source: dict[str, Place] = {}  # a reshaped blob → what it was made of
        self._held: dict[str, Shape] = {}  # the shapes of reshaped blobs
        self._cuts: dict[tuple[str, int], dict[tuple[int, int], str]] = {}
        self._announced: dict[tuple[Value, int], list[tuple[int, int]]] = {}

    def run(self) -> None:
        """Emit the whole graph. Raises InputError for what has no form in the dialect."""
        for value in self.graph.inputs:
            name = self._unique(value.name)
            value.name = name
            self.layer(
                "Input", [], name=name, shape=value.shape, input_param={"shape": {"dim": list(value.shape)}}
            )
            self.places[value] = Place.of(name, value.shape)
        for node in self.graph.nodes:
            if node.op in CUTTING and isinstance(node.args[0], Value):
                axis, ranges = CUTTING[node.op](node.args[0].shape, **_clean(node.arguments()))
                self._announced.setdefault((node.args[0], axis), []).extend(ranges)
        for node in self.graph.nodes:
            self._node = node
            self._emit(node)
        self._node = None

    def _emit(self, node: Node) -> None:
        function = RULES.get(node.op)
        if function is None:
            raise self._refusal(node, Inexpressible("there is no form for it in Caffe's layers"))
        keep = getattr(function, "padded", False)

        def place(leaf: Any) -> Any:
            if not isinstance(leaf, Value):
                return leaf
            emitted = self.places[leaf]
            return emitted if keep or not emitted.pads else self.padded(emitted)

        try:
            emitted = function(self, **_clean(swapped(node.arguments(), place)))
        except Inexpressible as lack:
            raise self._refusal(node, lack) from None
        results = list(emitted) if isinstance(emitted, (list, tuple)) else [emitted]
        for value, result in zip(node.outputs, results):
            if isinstance(result, Place) and result.shape != value.shape:
                raise InputError(
                    f"{node.where}: {node.op} became {list(result.shape)} in place of {list(value.shape)};"
                    " please report it"
                )
            self.places[value] = result

    def _refusal(self, node: Node, lack: Inexpressible) -> InputError:
        shapes = ", ".join(str(list(v.shape)) for v in node.values())
        what = f"{node.where}: the operator {node.op} of '{node.name}' (on {shapes})"
        return lack.refusal(what, self.dialect.name)

    def output(self, name: str, place: Place) -> Place:
        """An output in a blob of just its shape. Raises InputError where the dialect has no layer for that."""
        try:
            return self.plain(place)
        except Inexpressible as lack:
            raise lack.refusal(f"The output '{name}' (as {list(place.shape)})", self.dialect.name) from None

    def is_read(self, output: int) -> bool:
        """Whether the model uses this output of the present operator."""
        if self._node is None or output >= len(self._node.outputs):
            return False
        value = self._node.outputs[output]
        return value in self.graph.outputs.values() or any(value in n.values() for n in self.graph.nodes)

    def needs(self, *types: str, fix: str = "") -> None:
        """Raise where the dialect lacks one of these layer types."""
        if not all(self.dialect.has(t) for t in types):
            raise Inexpressible(f"it needs {' and '.join(types)}", types, fix)

    # Layers

    def _unique(self, name: str) -> str:
        name = name.strip().replace(" ", "_") or "layer"
        free, i = name, 1
        while free in self._names:
            free, i = f"{name}_{i}", i + 1
        self._names.add(free)
        return free

    def layer(
        self,
        kind: str,
        bottoms: Sequence[Place | str],
        *,
        suffix: str = "",
        name: str = "",
        shape: Shape | None = None,
        blobs: Sequence[Any] = (),
        **params: Any,
    ) -> Place:
        """Append a layer; returns the place of its top (of bottom 0's shape, or ``shape``). ``suffix`` tells apart the
        layers of one operator.
        """
        layer = self._append(kind, bottoms, suffix, name, blobs, params)
        layer.top.append(layer.name)
        if shape is None:
            first = bottoms[0]
            if not isinstance(first, Place):
                raise InputError("a shape is needed")
            shape = first.held
        return Place.of(layer.name, tuple(shape))

    def layers(
        self,
        kind: str,
        bottoms: Sequence[Place],
        shapes: Sequence[Shape],
        suffix: str,
        blobs: Sequence[Any] = (),
        **params: Any,
    ) -> list[Place]:
        """Append a layer with several tops; returns their places."""
        layer = self._append(kind, bottoms, suffix, "", blobs, params)
        if len(shapes) == 1:
            layer.top.append(layer.name)
        else:
            layer.top.extend(self._unique(f"{layer.name}/{i}") for i in range(len(shapes)))
        return [Place.of(t, tuple(s)) for t, s in zip(layer.top, shapes)]

    def _append(
        self,
        kind: str,
        bottoms: Sequence[Place | str],
        suffix: str,
        name: str,
        blobs: Sequence[Any],
        params: dict[str, Any],
    ) -> caffe_pb2.LayerParameter:
        self.needs(kind)
        if not name:
            base = self._node.name if self._node else kind.lower()
            name = self._unique(f"{base}/{suffix}" if suffix else base)
        layer = self.net.layer.add(name=name, type=kind)
        layer.bottom.extend(b.blob if isinstance(b, Place) else b for b in bottoms)
        for key, value in params.items():
            assign(layer, key, value)
        if blobs:
            self.blobs[name] = [_array(b) for b in blobs]
        if self._node is not None:
            self.layer_of[name] = self._node.name
        return layer

    def each(
        self, place: Place, kind: str, *, suffix: str = "", blobs: Sequence[Any] = (), **params: Any
    ) -> Place:
        """A layer that changes every value alone: however the blob lies, it stays so."""
        return place.put(self.layer(kind, [place], suffix=suffix, blobs=blobs, **params).blob)

    def power(
        self, place: Place, power: float = 1, scale: float = 1, shift: float = 0, suffix: str = ""
    ) -> Place:
        """(shift + scale · x) ^ power."""
        if (power, scale, shift) == (1, 1, 0):
            return place
        given = {
            k: v
            for k, v, default in (("power", power, 1), ("scale", scale, 1), ("shift", shift, 0))
            if v != default
        }
        return self.each(place, "Power", suffix=suffix, power_param=given)

    def eltwise(self, operation: str, *places: Place, coeff: Sequence[float] = (), suffix: str = "") -> Place:
        """Values of one shape, combined one by one."""
        first, *others = places
        others = [self.lying_as(p, first) for p in others]
        param: dict[str, Any] = {"operation": operation}
        if coeff:
            param["coeff"] = list(coeff)
        return first.put(self.layer("Eltwise", [first, *others], suffix=suffix, eltwise_param=param).blob)

    def constant(self, values: Any, suffix: str = "constant") -> Place:
        """A blob of constants."""
        array = _array(values)
        place: Place = self.layer(
            "Parameter",
            [],
            suffix=suffix,
            shape=array.shape,
            blobs=[array],
            parameter_param={"shape": {"dim": list(array.shape)}},
        )
        return place

    # Shapes

    def plain(self, place: Place) -> Place:
        """The value in a blob of just its shape: padded, repeated and permuted now."""
        if isinstance(place, torch.Tensor):
            return self.constant(place)
        place = self.padded(place)
        place = self.repeated(place)
        return self.ordered(place)

    def padded(self, place: Place) -> Place:
        """The value with its padding carried out."""
        if not place.pads:
            return place
        padded: Place = RULES["carry_out_padding"](self, place)
        return padded

    def repeated(self, place: Place, shape: Shape | None = None) -> Place:
        """The value with axes of 1 repeated to its (or another) shape."""
        for i, (size, wanted) in enumerate(zip(place.seen, shape or place.shape)):
            if size != wanted:
                axis = place.order[i]
                held = tuple(wanted if k == axis else n for k, n in enumerate(place.held))
                top = self.layer(
                    "Tile", [place], suffix="tile", shape=held, tile_param={"axis": axis, "tiles": wanted}
                )
                place = place.put(top.blob, held=held)
        return replaced(place, shape=tuple(place.seen))

    def ordered(self, place: Place) -> Place:
        """The value in a blob whose axes are the value's."""
        seen = place.seen
        if place.order == tuple(range(len(place.order))):
            return place
        if place.is_ordered:
            top = self.reshaped(Place.of(place.blob, place.held), seen)
            return replaced(place, blob=top.blob, held=seen, order=tuple(range(len(seen))))
        self.needs(
            "Permute",
            fix="Without one, keep to N × C × H × W: channels_last code, flattened maps and attention need it",
        )
        top = self.layer(
            "Permute", [place], suffix="permute", shape=seen, permute_param={"order": list(place.order)}
        )
        return replaced(place, blob=top.blob, held=seen, order=tuple(range(len(seen))))

    def lying_as(self, place: Place, other: Place) -> Place:
        """The value in a blob that lies as another value's of the same shape does."""
        place = self.repeated(self.padded(place), other.shape)
        if place.order == other.order:
            return place
        return self._turned(place, other.order)

    def reshaped(self, place: Place, shape: Shape) -> Place:
        """Other dimensions for the same values; a chain of them is one layer."""
        source = self._source.get(place.blob, Place.of(place.blob, place.held))
        shape = tuple(shape)
        if source.held == shape:
            return source
        for blob, other in self._source.items():
            if other.blob == source.blob and self._held[blob] == shape:
                return Place.of(blob, shape)
        dims = copied_dims(source.held, shape)
        if len(shape) == 2 < len(source.held) and shape[0] == source.held[0]:
            top = self.layer("Flatten", [source], suffix="flatten", shape=shape)
        else:
            top = self.layer(
                "Reshape", [source], suffix="reshape", shape=shape, reshape_param={"shape": {"dim": dims}}
            )
        self._source[top.blob] = source
        self._held[top.blob] = shape
        return Place.of(top.blob, shape)

    def source(self, place: Place) -> Place:
        """What a reshaped blob was before, or the blob itself."""
        return self._source.get(place.blob, Place.of(place.blob, place.held))

    def cut(self, place: Place, axis: int, start: int, stop: int) -> Place:
        """The range from start to stop of an axis; ranges of one axis that do not overlap are one Slice."""
        place = self.padded(place)
        if place.seen[axis] == 1 and place.shape[axis] > 1:
            return replaced(place, shape=_with(place.shape, axis, stop - start))
        held_axis, size = place.order[axis], place.shape[axis]
        if (start, stop) == (0, size):
            return place
        made = self._cuts.setdefault((place.blob, held_axis), {})
        if (start, stop) not in made:
            self._slice(place, held_axis, size, self._ranges(axis, size, (start, stop)), made)
        held = _with(place.held, held_axis, stop - start)
        return place.put(made[start, stop], held=held, shape=_with(place.shape, axis, stop - start))

    def _ranges(self, axis: int, size: int, wanted: tuple[int, int]) -> list[tuple[int, int]]:
        """The wanted range and all others of this value that do not overlap, then what is left."""
        values = self._node.values() if self._node else []
        ranges = [wanted]
        for value in values[:1]:
            for other in self._announced.get((value, axis), []):
                if all(other[1] <= a or other[0] >= b for a, b in ranges) and other[0] < other[1]:
                    ranges.append(other)
        ranges.sort()
        filled, at = [], 0
        for a, b in [*ranges, (size, size)]:
            if a > at:
                filled.append((at, a))
            if b > a:
                filled.append((a, b))
            at = b
        return filled

    def _slice(
        self,
        place: Place,
        axis: int,
        size: int,
        ranges: list[tuple[int, int]],
        made: dict[tuple[int, int], str],
    ) -> None:
        param: dict[str, Any] = {"axis": axis, "slice_point": [b for _, b in ranges[:-1]]}
        shapes = [_with(place.held, axis, b - a) for a, b in ranges]
        tops = self.layers("Slice", [place], shapes, "slice", slice_param=param)
        made.update({r: t.blob for r, t in zip(ranges, tops)})

    def joined(self, places: Sequence[Place], axis: int, suffix: str = "") -> Place:
        """Values one behind the other along an axis."""
        first, *others = (self.repeated(self.padded(p)) for p in places)
        order = first.order
        same = [p if p.order == order else self._turned(p, order) for p in others]
        held_axis = order[axis]
        total = sum(p.shape[axis] for p in (first, *same))
        held = _with(first.held, held_axis, total)
        top = self.layer(
            "Concat", [first, *same], suffix=suffix, shape=held, concat_param={"axis": held_axis}
        )
        return first.put(top.blob, held=held, shape=_with(first.shape, axis, total))

    def _turned(self, place: Place, order: tuple[int, ...]) -> Place:
        """The value in a blob whose axes lie in this order."""
        wanted = tuple(order.index(i) for i in range(len(order)))
        turned = self.ordered(place.reordered(wanted))
        return replaced(place, blob=turned.blob, held=turned.held, order=order)


def _with(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _array(values: Any) -> Array:
    if isinstance(values, torch.Tensor):
        values = values.detach().to("cpu", torch.float32).numpy()
    return np.array(values, dtype=np.float32, order="C")


def _clean(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments by names that Python takes: ``self`` is ``input``."""
    return {("input" if k == "self" else k): v for k, v in arguments.items()}
