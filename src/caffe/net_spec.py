"""NetSpec: nets written in Python, as ``from caffe import layers as L, params as P`` has it.

``L.Convolution(bottom, num_output=20, kernel_size=5)`` gives a :class:`Top`, a promise of that layer's
output. A :class:`NetSpec` names tops; :func:`to_proto` turns either into a NetParameter, whose ``str`` is the
prototxt.

Arguments by name go to the parameter message of the layer's type (``num_output`` to ``convolution_param``),
else to the layer (``name``, ``loss_weight``, ``include``, ``param`` …), as dicts, lists and plain values.
They are checked at once, so that an error points at the line that wrote them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from caffe.errors import InputError, InputTypeError, LayerError, UnknownNameError, close_names
from caffe.proto import caffe_pb2
from caffe.proto.assign import assign_proto, whole

# Types that read another type's message.
_BORROWED = {"Deconvolution": "convolution_param", "RNN": "recurrent_param", "LSTM": "recurrent_param"}


class _NoSuchName(UnknownNameError, AttributeError):
    """An attribute that does not exist."""


class Top:
    """Output ``n`` of a layer, to be given to other layers as their bottom."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net that computes this top, with names made up."""
        return to_proto(self)

    def _update(self, params: Mapping[str, Any]) -> None:
        self.fn._update(params)

    def __repr__(self) -> str:
        return f"<Top {self.n} of {self.fn.type_name}>"


class Function:
    """One layer of a net to be: its type, bottoms (``inputs``), ``params`` and tops.

    ``ntop`` says how many tops there are (1 unless given), ``in_place`` that they are the bottoms themselves.
    Raises InputTypeError where a bottom is no Top, LayerError for parameters that the schema does not have.
    """

    def __init__(self, type_name: str, inputs: Iterable[Top], params: Mapping[str, Any]) -> None:
        self.type_name = type_name
        self.inputs = tuple(inputs)
        for i, bottom in enumerate(self.inputs):
            if not isinstance(bottom, Top):
                raise InputTypeError(f"{type_name} input {i} is not a Top (type is {type(bottom)})")
        self.params = dict(params)
        given = self.params.pop("ntop", 1)
        ntop = whole(given)
        if ntop is None or ntop < 0:
            raise InputError(f"ntop of {type_name} must be an integer from 0; got {given!r}")
        self.ntop: int = ntop
        self.in_place: bool = bool(self.params.pop("in_place", False))
        if self.in_place and len(self.inputs) < self.ntop:
            raise InputError(
                f"{type_name} in place must have a bottom for each top; got {len(self.inputs)} for {ntop}"
            )
        self.tops = tuple(Top(self, n) for n in range(self.ntop))
        self._fill(caffe_pb2.LayerParameter(type=type_name))

    def _update(self, params: Mapping[str, Any]) -> None:
        self.params.update(params)
        self._fill(caffe_pb2.LayerParameter(type=self.type_name))

    def _fill(self, layer: caffe_pb2.LayerParameter) -> None:
        own = _own_message(self.type_name)
        for key, value in self.params.items():
            target: Any = layer
            if own and not key.endswith("param"):
                target = getattr(layer, own)
            if key not in target.DESCRIPTOR.fields_by_name:
                other: Any = getattr(layer, own) if own and target is layer else layer
                if key not in other.DESCRIPTOR.fields_by_name:
                    raise unknown_parameter(self.type_name, key)
                target = other
            try:
                assign_proto(target, key, value)
            except LayerError as error:
                raise error.located(type=self.type_name) from None

    def _layer(self, names: Names) -> caffe_pb2.LayerParameter:
        layer = caffe_pb2.LayerParameter(type=self.type_name)
        layer.bottom.extend(names.of_bottom(bottom) for bottom in self.inputs)
        if self.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(names.of(top) for top in self.tops)
        layer.name = names.of(self.tops[0] if self.tops and self not in names else self)
        self._fill(layer)
        return layer

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net that ends in this layer, with names made up."""
        return to_proto(self)

    def __repr__(self) -> str:
        return f"<Function {self.type_name} with {self.ntop} tops>"


Output = Top | Function


class Names:
    """Names of tops and of layers without tops: given ones, else the type and a number."""

    def __init__(self, given: Mapping[Output, str]) -> None:
        self._names: dict[Output, str] = dict(given)
        self._taken = set(given.values())
        self._counts: Counter[str] = Counter()
        self.layers: dict[Function, caffe_pb2.LayerParameter] = {}

    def __contains__(self, output: Output) -> bool:
        return output in self._names

    def of(self, output: Output) -> str:
        if output not in self._names:
            kind = output.fn.type_name if isinstance(output, Top) else output.type_name
            while True:
                self._counts[kind] += 1
                name = f"{kind}{self._counts[kind]}"
                if name not in self._taken:
                    break
            self._names[output] = name
        return self._names[output]

    def of_bottom(self, bottom: Top) -> str:
        return self.layers[bottom.fn].top[bottom.n]

    def add(self, output: Output) -> None:
        """Make the output's layer, after all layers that it needs (without recursion: nets are deep)."""
        stack = [_function(output)]
        while stack:
            fn = stack[-1]
            missing = [b.fn for b in fn.inputs if b.fn not in self.layers]
            if fn in self.layers or not missing:
                stack.pop()
                if fn not in self.layers:
                    self.layers[fn] = fn._layer(self)
            else:
                stack.append(missing[0])


def _function(output: Output) -> Function:
    return output.fn if isinstance(output, Top) else output


def to_proto(*tops: Output) -> caffe_pb2.NetParameter:
    """The net that computes the tops (or layers without tops), every name made up from the layer's type."""
    names = Names({})
    for top in tops:
        if not isinstance(top, (Top, Function)):
            raise InputTypeError(f"to_proto must be given tops, as layers return them; got {type(top)}")
        names.add(top)
    return caffe_pb2.NetParameter(layer=names.layers.values())


class NetSpec:
    """A net under construction: ``n.conv1 = L.Convolution(n.data, …)`` names a top and its layer.

    Tops may be set, read and deleted as attributes or as items. ``name``, and ``phase``, ``level`` and
    ``stages`` (the state a net is built for where its maker does not say), end up in the NetParameter; they
    are arguments here, not attributes, since attributes are tops.
    """

    tops: dict[str, Output]

    def __init__(
        self,
        name: str | None = None,
        *,
        phase: int | None = None,
        level: int | None = None,
        stages: Sequence[str] | str = (),
    ) -> None:
        header = caffe_pb2.NetParameter()
        if name is not None:
            assign_proto(header, "name", name)
        state = {"phase": phase, "level": level, "stage": stages if len(stages) else None}
        state = {key: value for key, value in state.items() if value is not None}
        if state:
            assign_proto(header, "state", state)
        super().__setattr__("tops", {})
        super().__setattr__("_header", header)

    def __setattr__(self, name: str, value: Output) -> None:
        if not isinstance(value, (Top, Function)):
            fix = None
            if isinstance(value, tuple) and all(isinstance(v, Top) for v in value):
                fix = f"The layer has {len(value)} tops: give each a name, as n.a, n.b = …"
            raise InputTypeError(f"'{name}' must be what a layer returns, a Top; got {type(value)}", fix=fix)
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self.tops:
            raise _NoSuchName(f"This NetSpec has no top '{name}'", fix=close_names(name, self.tops) or None)
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        self.__getattr__(name)
        del self.tops[name]

    def __setitem__(self, name: str, value: Output) -> None:
        self.__setattr__(name, value)

    def __getitem__(self, name: str) -> Any:
        return self.__getattr__(name)

    def __delitem__(self, name: str) -> None:
        self.__delattr__(name)

    def __contains__(self, name: object) -> bool:
        return name in self.tops

    def __iter__(self) -> Iterator[str]:
        return iter(self.tops)

    def keys(self) -> list[str]:
        """The names, in the order of their first setting."""
        return list(self.tops)

    def vals(self) -> list[Output]:
        """The tops, in the same order."""
        return list(self.tops.values())

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several tops, as ``dict.update``; or add parameters to the layer of a name: ``update(name, params)``."""
        if len(args) == 2 and isinstance(args[0], str):
            self.__getattr__(args[0])._update(args[1])
            return
        for name, top in dict(*args, **kwargs).items():
            self.__setattr__(name, top)

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net: every named top's layer, and the layers that those need."""
        names = Names({top: name for name, top in self.tops.items()})
        for top in self.tops.values():
            names.add(top)
        net = caffe_pb2.NetParameter(layer=names.layers.values())
        net.MergeFrom(self._header)
        return net

    def __str__(self) -> str:
        return str(self.to_proto())

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tops]


@lru_cache(maxsize=1)
def param_name_dict() -> dict[str, str]:
    """From a parameter message's kind to its field in a layer: ``{'InnerProduct': 'inner_product', …}``."""
    fields: dict[str, str] = {}
    for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields:
        if field.message_type is not None and field.name.endswith("_param"):
            fields.setdefault(
                field.message_type.name.removesuffix("Parameter"), field.name.removesuffix("_param")
            )
    return fields


def _own_message(type_name: str) -> str | None:
    if type_name in _BORROWED:
        return _BORROWED[type_name]
    kind = param_name_dict().get(type_name)
    return None if kind is None else f"{kind}_param"


def _fields(param: str) -> list[str]:
    message = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[param].message_type
    return list(message.fields_by_name) if message is not None else []


def takes(type_name: str, key: str) -> bool:
    """Whether a layer of this type has a parameter, in its own message or in LayerParameter."""
    own = _own_message(type_name)
    return key in caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name or bool(own and key in _fields(own))


def unknown_parameter(type_name: str, key: str) -> LayerError:
    """The error for a parameter that a layer of this type does not have, with close names."""
    own = _own_message(type_name)
    known = list(caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name)
    if own:
        known = [*_fields(own), *known]
    message = f"must be a field of LayerParameter{f' or its {own}' if own else ''}; got '{key}'"
    hint = close_names(key, known)
    for group in ("loss_param", "transform_param"):
        if key in _fields(group):
            hint = f"It belongs to {group}: write {group}=dict({key}=…)"
    return LayerError(message, type=type_name, field=key, fix=hint or None)


@cache
def layer_function(name: str) -> Callable[..., Any]:
    """What ``L.<name>`` is: describes a layer of that type, returns its top, or several tops as a tuple."""

    def layer_fn(*bottoms: Top, **params: Any) -> Any:
        fn = Function(name, bottoms, params)
        if fn.ntop == 0:
            return fn
        return fn.tops[0] if fn.ntop == 1 else fn.tops

    own = _own_message(name)
    fields = ""
    if own:
        fields = f"\n\nParameters ({own}): {', '.join(_fields(own))}."
    layer_fn.__name__ = layer_fn.__qualname__ = name
    layer_fn.__module__ = "caffe.layers"
    layer_fn.__doc__ = (
        f"A {name} layer over the given bottoms; see caffe.net_spec.{fields}"
        "\n\nAlso: ntop, in_place, and every field of LayerParameter (name, loss_weight, param, include …)."
    )
    return layer_fn


class Layers:
    """``L``: every attribute is the function of the layer type of that name."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return layer_function(name)


class _Constants:
    """``P.Pooling``: the enum values (and enums) of a parameter message."""

    def __init__(self, kind: str) -> None:
        self._message = getattr(caffe_pb2, f"{kind}Parameter", None)
        if self._message is None:
            known = [n.removesuffix("Parameter") for n in vars(caffe_pb2) if n.endswith("Parameter")]
            raise _NoSuchName(f"The schema has no {kind}Parameter", fix=close_names(kind, known) or None)
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return getattr(self._message, name)
        except AttributeError:
            known = self.__dir__()
            raise _NoSuchName(
                f"{self._kind}Parameter has no value '{name}'",
                fix=close_names(name, known) or (f"It has {', '.join(known)}" if known else None),
            ) from None

    def __dir__(self) -> list[str]:
        enums = self._message.DESCRIPTOR.enum_types if self._message is not None else []
        return [value.name for enum in enums for value in enum.values]


class Parameters:
    """``P``: ``P.Pooling.MAX``, ``P.Data.LMDB`` and so on are the schema's numbers."""

    def __getattr__(self, name: str) -> _Constants:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Constants(name)


layers = Layers()
params = Parameters()
