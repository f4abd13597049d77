"""Which fork's layer is meant, where several have one of the same name and nothing in the layer tells.

The user's word counts first (``dialect=`` of caffe.Net, a line ``# dialect: NAME`` in the prototxt, a command's
``--dialect``), then the rest of the net: if only one of the meanings is that of forks which have all its layers and
fields, it is that one. A meaning is set by fields in the layer itself, so that what is read can be seen.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import text_format

from caffe import logs, runtime
from caffe.dialects import checking
from caffe.dialects.dialect import Dialect, Meaning
from caffe.dialects.library import load, names, types_with_meanings
from caffe.errors import CaffeError
from caffe.formats.prototxt import NetFile
from caffe.proto import caffe_pb2


def settle(net: NetFile, dialect: str | Dialect | None = None) -> None:
    """Set, in the layers that several forks read in different ways, what is meant, in place.

    ``dialect`` is the user's word, over what the file says. Raises UnknownNameError for a name of none.
    """
    named = dialect or net.dialect or runtime.dialect()
    chosen: Dialect | None = None
    if named:
        try:
            chosen = load(named)
        except CaffeError as error:
            raise error.located(file=None if dialect else net.file, field="dialect") from None
    open_layers = [(layer, _open(layer)) for layer in net.param.layer]
    open_layers = [(layer, found) for layer, found in open_layers if found]
    if not open_layers:
        return
    fitting: set[str] | None = None
    for layer, meanings in open_layers:
        if chosen is not None:
            meaning = meanings.get(chosen.name)
            if meaning is not None:
                _set(layer, meaning)
            continue
        if fitting is None:
            forks = {name for _, found in open_layers for name in found}
            fitting = {name for name in forks if _fits(load(name), net.param)}
        there = {name: m for name, m in meanings.items() if name in fitting}
        if not there or any(not m.set for m in there.values()):
            continue  # as it is read where nobody says anything
        by_set = {m.set: name for name, m in sorted(there.items(), reverse=True)}
        if len(by_set) > 1:
            logs.warning(
                f"Layer '{layer.name}' ({layer.type}) means different things in {', '.join(sorted(there))}:"
                " say which with dialect=, --dialect or a line '# dialect: NAME' in the prototxt"
            )
            continue
        (name,) = by_set.values()
        _set(layer, meanings[name])
        logs.info(
            f"Layer '{layer.name}' ({layer.type}) is read as in {load(name).title}, which has all layers and"
            f" fields of this net: {meanings[name].says}"
        )


def _open(layer: caffe_pb2.LayerParameter) -> dict[str, Meaning]:
    """The forks' meanings of a layer whose fields do not tell, by dialect."""
    meanings: dict[str, Meaning] = {}
    if layer.type not in types_with_meanings():
        return meanings
    for name, meaning in _ambiguous()[layer.type]:
        if not any(_given(layer, path) for path in meaning.unless):
            meanings[name] = meaning
    return meanings


_table: dict[str, list[tuple[str, Meaning]]] = {}


def _ambiguous() -> dict[str, list[tuple[str, Meaning]]]:
    """Layer type → the forks' meanings of it."""
    if not _table:
        for name in names():
            for meaning in load(name).meanings:
                _table.setdefault(meaning.type, []).append((name, meaning))
    return _table


def _given(layer: caffe_pb2.LayerParameter, path: str) -> bool:
    message = layer
    *parents, last = path.split(".")
    for part in parents:
        if not message.HasField(part):  # type: ignore[arg-type]
            return False
        message = getattr(message, part)
    field = message.DESCRIPTOR.fields_by_name[last]
    value = getattr(message, last)
    repeated = hasattr(value, "append") or hasattr(value, "add")
    return bool(value) if repeated else message.HasField(field.name)  # type: ignore[arg-type]


def _set(layer: caffe_pb2.LayerParameter, meaning: Meaning) -> None:
    if meaning.set:
        said = caffe_pb2.LayerParameter()
        text_format.Parse(meaning.set, said)
        layer.MergeFrom(said)


def _fits(dialect: Dialect, net: caffe_pb2.NetParameter) -> bool:
    """Whether a dialect has all layer types and fields of a net."""
    return not any(_problems(dialect, net.layer))


def _problems(dialect: Dialect, layers: Iterable[caffe_pb2.LayerParameter]) -> Iterable[object]:
    for layer in layers:
        yield from checking.check_layer(dialect, layer)
