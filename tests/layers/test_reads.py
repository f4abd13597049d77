"""What a layer class says it reads of its parameters is all that its layers look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from harness import Case, build, load_cases

from caffe.layer import Layer
from caffe.layer_factory import layer_class, layer_type_list
from caffe.proto import caffe_pb2, field_use, forks
from caffe.tensor_layer import TensorLayer

COPIED = ("dense_image_data", "convolution_depthwise_other_outputs")
"""Cases whose layers copy their parameters, which only a message can be."""
MESSAGES = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
BUILT_IN = {t: c for t in layer_type_list() if (c := layer_class(t)).__module__.startswith("caffe.layers.")}


class Recorded:
    """A message that writes down which of its fields are looked at."""

    def __init__(self, message: Any, path: str, seen: set[str]) -> None:
        vars(self).update(_message=message, _path=path, _seen=seen)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._message, name)
        if name not in self._message.DESCRIPTOR.fields_by_name:
            return value
        self._seen.add(self._path + name)
        inner = MESSAGES[name].message_type if not self._path else None
        if not inner or not name.endswith("_param"):
            return value
        repeated = isinstance(value, Sequence)
        found = [Recorded(one, f"{name}.", self._seen) for one in (value if repeated else [value])]
        return found if repeated else found[0]

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._message, name, value)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[type[Layer], set[str]]]:
    """Paths of the fields that layers look at, by their classes."""
    seen: dict[type[Layer], set[str]] = {}
    plain, number = Layer.__init__, count()

    def init(self: Layer, param: caffe_pb2.LayerParameter) -> None:
        plain(self, param)
        self.param = Recorded(param, "", seen.setdefault(type(self), set()))  # type: ignore[assignment]

    monkeypatch.setattr(Layer, "__init__", init)
    monkeypatch.setattr(TensorLayer, "_alike", property(lambda self: next(number)))
    yield seen


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path, looked_at: dict[type[Layer], set[str]]) -> None:
    if case.name in COPIED:
        pytest.skip("the layer copies its parameters, which must be a message for that")
    build(case, tmp_path).layer.close()
    for cls, paths in looked_at.items():
        if cls not in BUILT_IN.values():
            continue  # a stand-in for a module of a fork
        undeclared = {p for p in paths if "." in p and not declared(cls, p)}
        assert not undeclared, f"{cls.__name__}.reads lacks {', '.join(sorted(undeclared))}"


def declared(cls: type[Layer], path: str) -> bool:
    """Whether the class says so; a fork's field that is an error there may be looked at, being as if not given."""
    refused = field_use.fate(path) == "an error" or field_use.harmless(path)
    return field_use.computes(cls.reads, path) or refused


def test_origins_are_spelled_alike() -> None:
    """One spelling for a fork, which holds its owner and name, or no owner at all."""
    names = {name for cls in BUILT_IN.values() for name in cls.origin.split(", ")}
    names |= {*forks.ABSENT_TYPES.values(), *forks.FIELDS.values()}
    where = [name.rstrip(")").split("(")[-1] for name in names]
    assert len(set(where)) == len(names), "two spellings of one fork"


def test_no_type_is_in_two_places() -> None:
    assert not set(BUILT_IN) & set(forks.ABSENT_TYPES)
