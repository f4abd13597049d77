"""A net as a page shows it: every layer with its shapes, costs and receptive field, and what is wrong with it.

Layers are set up one by one over blobs without values. One that cannot be is marked with its error, and what is
behind it is shown without shapes, so that a net with a mistake is seen whole. Nothing of the net is run: data
layers stand for the shapes they would give, Python layers are not imported unless that is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import text_format

from caffe import fillers
from caffe.blob import Blob
from caffe.display import multiply_adds
from caffe.errors import CaffeError, LayerError, NetError, close_names, listed
from caffe.formats.prototxt import NetFile
from caffe.layer import Layer, bounds, describe
from caffe.layer_factory import create_layer, layer_class
from caffe.layers.common.python import stand_in
from caffe.passes.filter import filter_net
from caffe.passes.upgrade import upgrade_net
from caffe.proto import caffe_pb2
from caffe.web import blocks, data_shapes, receptive

Json = dict[str, Any]
_NOT_SHOWN = ("name", "type", "bottom", "top", "blobs", "phase", "include", "exclude")
_SINKS = ("HDF5Output", "ImageOutput")
"""Layers that would make files when they are set up; they have no tops."""


@dataclass
class _Placed:
    """A layer with its blobs."""

    layer: Layer
    bottom: list[Blob] = field(default_factory=list)
    top: list[Blob] = field(default_factory=list)


def analyse(
    net: NetFile,
    phase: int = caffe_pb2.TEST,
    level: int = 0,
    stages: Sequence[str] = (),
    python: bool = False,
    look: bool = True,
) -> Json:
    """What a page shows of a net. ``python`` allows Python layers to be imported, ``look`` data to be opened.

    Raises what upgrading raises, all CaffeError: only what cannot be shown at all.
    """
    upgrade_net(net)
    every = {top: layer.name for layer in net.param.layer for top in layer.top}
    count = len(net.param.layer)
    net.param.state.phase = phase  # type: ignore[assignment]
    net.param.state.level = level
    del net.param.state.stage[:]
    net.param.state.stage.extend(stages)
    filter_net(net)
    walk = _Walk(net, phase, python, look, every)
    with fillers.deferred():
        layers = [walk.layer(i, param) for i, param in enumerate(net.param.layer)]
    units, groups = _folded(net.param.layer)
    for k, unit in enumerate(units):
        for i in unit.layers:
            layers[i]["unit"] = k
    return {
        "kind": "net",
        "name": net.param.name,
        "phase": "TRAIN" if phase == caffe_pb2.TRAIN else "TEST",
        "left_out": count - len(net.param.layer),
        "layers": layers,
        "units": [{"layers": u.layers, "bottoms": sorted(set(u.bottoms))} for u in units],
        "groups": [
            {
                "kind": g.kind,
                "name": g.name,
                "units": g.units,
                "groups": g.groups,
                "parent": g.parent,
                "repeats": g.repeats,
            }
            for g in groups
        ],
        "inputs": walk.inputs,
        "outputs": list(walk.unread),
        "totals": {
            name: sum(layer[name] or 0 for layer in layers) for name in ("count", "multiply_adds", "memory")
        },
        "errors": [layer["error"] | {"layer": layer["name"]} for layer in layers if layer["error"]],
    }


def error_json(error: CaffeError) -> Json:
    """An error as the page shows it: where, what, and what to do."""
    return {
        "message": error.message,
        "line": error.line,
        "layer": error.layer,
        "field": error.field,
        "fix": error.fix,
    }


class _Walk:
    """The blobs on the way through a net."""

    def __init__(self, net: NetFile, phase: int, python: bool, look: bool, left_out: dict[str, str]) -> None:
        self.net = net
        self.phase = phase
        self.python = python
        self.look = look
        self.left_out = left_out  # a blob → the layer that makes it in whatever phase
        self.inputs: list[str] = []
        self.unread: dict[str, None] = {}
        self.blobs: dict[str, Blob | None] = {}  # None where the shape is not known
        self.fields: dict[str, receptive.Field | None] = {}
        self.names: set[str] = set()
        self.shared: set[str] = set()

    def layer(self, index: int, param: caffe_pb2.LayerParameter) -> Json:
        line = self.net.lines[index] if index < len(self.net.lines) else None
        described: Json = {
            "name": param.name,
            "type": param.type,
            "line": line,
            "bottoms": list(param.bottom),
            "tops": list(param.top),
            "text": _text(param),
            "short": short(param),
            "shapes": {},
            "params": [],
            "count": 0,
            "multiply_adds": 0,
            "memory": 0,
            "field": None,
            "error": None,
            "notes": [],
        }
        if param.name in self.names:
            described["notes"].append(f"Another layer is called '{param.name}', too")
        self.names.add(param.name)
        try:
            self._check_blobs(param)
            self._shapes(param, described)
        except CaffeError as error:
            error.located(line=line, layer=param.name, type=param.type)
            described["error"] = error_json(error) | {"line": error.line or line}
            self._unknown(param)
        self._receptive(param, described)
        for name in param.bottom:
            self.unread.pop(name, None)
        for name in param.top:
            self.unread[name] = None
        return described

    def _check_blobs(self, param: caffe_pb2.LayerParameter) -> None:
        for name in param.bottom:
            if name not in self.blobs:
                raise NetError(
                    f"No layer before this one produces the blob '{name}'",
                    field="bottom",
                    fix=self._where(name),
                )
        for i, name in enumerate(param.top):
            if name in self.blobs and not (i < len(param.bottom) and param.bottom[i] == name):
                raise NetError(
                    f"The blob '{name}' is produced twice", field="top", fix="Rename one of the tops"
                )

    def _where(self, name: str) -> str:
        """What to do about a bottom that no layer has made."""
        if name in self.left_out:
            return (
                f"The layer '{self.left_out[name]}' makes it, which this phase, level or stage leaves out:"
                " see --phase, --level, --stage"
            )
        return close_names(name, self.blobs) or f"Blobs so far: {listed(self.blobs)}"

    def _shapes(self, param: caffe_pb2.LayerParameter, found: Json) -> None:
        if param.type in data_shapes.DATA:
            shapes, note = data_shapes.tops_of(param, self.look)
            found["notes"] += [note] if note else []
            for name, shape in zip(param.top, shapes):
                self.blobs[name] = Blob(*shape, name=name)
                found["shapes"][name] = shape
                self.inputs.append(name)
            found["memory"] = 4 * sum(math.prod(shape) for shape in shapes)
            return
        if param.type == "Python" and not self.python and stand_in(param) is None:
            found["notes"].append("Python layers are not run here; --python allows it")
            self._unknown(param)
            return
        if param.type in _SINKS:
            layer_class(param.type)
            return
        bottoms = [self.blobs[name] for name in param.bottom]
        if any(blob is None for blob in bottoms):
            layer_class(param.type)  # at least, does it exist?
            found["notes"].append("Its bottoms' shapes are not known")
            self._unknown(param)
            return
        placed = self._set_up(param, [blob for blob in bottoms if blob is not None])
        shapes_of = {name: list(blob.shape) for name, blob in zip(param.top, placed.top)}
        in_place = {id(blob) for blob in placed.bottom}
        found["shapes"] = shapes_of
        found["params"] = [list(blob.shape) for blob in placed.layer.blobs]
        found["count"] = self._count(param, placed.layer)
        found["multiply_adds"] = multiply_adds(placed)
        found["memory"] = 4 * sum(blob.count for blob in placed.top if id(blob) not in in_place)
        if param.type == "Input":
            self.inputs += param.top

    def _count(self, param: caffe_pb2.LayerParameter, layer: Layer) -> int:
        """How many parameters the layer brings; those with a name that came before are not its own."""
        total = 0
        for i, blob in enumerate(layer.blobs):
            name = param.param[i].name if i < len(param.param) else ""
            total += 0 if name in self.shared else blob.count
            self.shared |= {name} if name else set()
        return total

    def _set_up(self, given: caffe_pb2.LayerParameter, bottoms: list[Blob]) -> _Placed:
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(given)
        if not param.HasField("phase"):
            param.phase = self.phase  # type: ignore[assignment]
        if param.HasField("detection_output_param"):
            param.detection_output_param.ClearField("save_output_param")  # nothing is written here
        ours = stand_in(param) if param.type == "Python" and not self.python else None
        layer = ours or create_layer(param)
        placed = _Placed(layer, bottoms)
        layer.needs.bottoms = [False] * len(bottoms)
        for i, name in enumerate(param.top):
            if i < len(param.bottom) and param.bottom[i] == name:
                if not layer.in_place:
                    raise LayerError(
                        f"cannot work in place, but bottom and top are both '{name}'", field="top"
                    )
                placed.top.append(bottoms[i])
            else:
                placed.top.append(Blob(name=name))
        least, _ = bounds(layer.num_tops)
        while layer.auto_tops and len(placed.top) < least:
            placed.top.append(Blob(name="(automatic)"))
        for kind, count, blobs in (
            ("bottom", layer.num_bottoms, placed.bottom),
            ("top", layer.num_tops, placed.top),
        ):
            least, most = bounds(count)
            if len(blobs) < least or (most is not None and len(blobs) > most):
                raise LayerError(f"takes {describe(count)} {kind} blob(s); got {len(blobs)}", field=kind)
        if layer.equal_counts and len(placed.bottom) != len(placed.top):
            raise LayerError("takes as many tops as bottoms", field="top")
        layer.bottom_count, layer.top_count = len(placed.bottom), len(placed.top)
        try:
            layer.setup(placed.bottom, placed.top)
            layer.reshape(placed.bottom, placed.top)
        except CaffeError:
            raise
        except Exception as error:
            raise LayerError(f"cannot be set up: {error}") from error
        finally:
            layer.close()
        for name, blob in zip(param.top, placed.top):
            self.blobs[name] = blob
        return placed

    def _unknown(self, param: caffe_pb2.LayerParameter) -> None:
        for name in param.top:
            if name not in param.bottom:
                self.blobs.setdefault(name, None)

    def _receptive(self, param: caffe_pb2.LayerParameter, found: Json) -> None:
        bottoms = [f for f in (self.fields.get(name) for name in param.bottom) if f is not None]
        seen = receptive.through(param, bottoms)
        if not param.bottom:
            for name, shape in found["shapes"].items():
                self.fields[name] = receptive.Field() if len(shape) == 4 else None
            return
        for name in param.top:
            self.fields[name] = seen
        if seen is not None:
            found["field"] = {"size": seen.size, "step": seen.step}


def _text(param: caffe_pb2.LayerParameter) -> str:
    """What the prototxt says of a layer beside its place in the net."""
    shown = caffe_pb2.LayerParameter()
    shown.CopyFrom(param)
    for name in _NOT_SHOWN:
        shown.ClearField(name)
    return text_format.MessageToString(shown)


def short(param: caffe_pb2.LayerParameter) -> str:
    """A layer's parameters in a few characters: ``3×3 /2, 64`` for a convolution."""
    if param.HasField("convolution_param"):
        own = param.convolution_param
        text = f"{_sides(own, 'kernel')}{_stride(own)}, {own.num_output}"
        text += f" in {own.group} groups" if own.group > 1 else ""
        return text + (f", dilated {own.dilation[0]}" if own.dilation and own.dilation[0] > 1 else "")
    if param.HasField("pooling_param") and param.type == "Pooling":
        pool = param.pooling_param
        name = caffe_pb2.PoolingParameter.PoolMethod.Name(pool.pool).lower()
        return f"{name}, all" if pool.global_pooling else f"{name} {_sides(pool, 'kernel')}{_stride(pool)}"
    if param.HasField("inner_product_param"):
        return str(param.inner_product_param.num_output)
    if param.HasField("eltwise_param"):
        return caffe_pb2.EltwiseParameter.EltwiseOp.Name(param.eltwise_param.operation).lower()
    if param.HasField("dropout_param"):
        return f"{param.dropout_param.dropout_ratio:g}"
    if param.type == "LRN":
        return f"size {param.lrn_param.local_size}"
    return ""


def _sides(own: Any, name: str) -> str:
    if own.HasField(f"{name}_h") or own.HasField(f"{name}_w"):
        return f"{getattr(own, f'{name}_h')}×{getattr(own, f'{name}_w')}"
    value = own.kernel_size if name == "kernel" else getattr(own, name)
    sides = [value] if isinstance(value, int) else list(value) or [1]
    return "×".join(map(str, sides if len(sides) > 1 else sides * 2))


def _stride(own: Any) -> str:
    text = _sides(own, "stride")
    first, _, second = text.partition("×")
    return "" if text == "1×1" or text == "0×0" else f" /{first}" if first == second else f" /{text}"


def _folded(params: Iterable[caffe_pb2.LayerParameter]) -> tuple[list[blocks.Unit], list[blocks.Group]]:
    units: list[blocks.Unit] = []
    names: list[str] = []
    maker: dict[str, int] = {}
    signs: list[list[object]] = []
    for i, param in enumerate(params):
        place = maker.get(param.bottom[0]) if len(param.bottom) == 1 else None
        if place is not None and list(param.top) == list(param.bottom):
            units[place].layers.append(i)
            signs[place].append(param.type)
            continue
        bottoms = [maker[name] for name in param.bottom if name in maker]
        units.append(blocks.Unit([i], None, bottoms))
        signs.append([param.type, short(param)])
        names.append(param.name)
        maker.update(dict.fromkeys(param.top, len(units) - 1))
    for unit, sign in zip(units, signs):
        unit.sign = tuple(sign)
    return units, blocks.fold(units, names)
