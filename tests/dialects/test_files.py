"""Every dialect's file is read, and names only what the schema and the layers have."""

from __future__ import annotations

import pytest

from caffe import layer_factory
from caffe.dialects import dialect as reading
from caffe.dialects import library, load, names
from caffe.errors import UnknownNameError
from caffe.proto import caffe_pb2


def messages() -> dict[str, set[str]]:
    fields, _ = library._schema()
    return {name: set(found) for name, found in fields.items()}


def raw(name: str) -> dict:
    return reading.parse((library.FOLDER / f"{name}.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", names())
def test_a_file_holds_what_the_schema_has(name: str) -> None:
    table, dialect = raw(name), load(name)
    known, (_, enums) = messages(), library._schema()
    assert set(table) <= {
        "title", "aliases", "deploy", "base", "inputs", "about", "sources", "layers", "fields", "without", "enums",
        "limit", "meaning", "kinds",
    }  # fmt: skip
    assert table["title"] and table["sources"], "every file says where its facts are from"
    assert all(base in names() for base in table.get("base", ()))
    types = set(layer_factory.layer_type_list())
    for key in ("only", "add", "without"):
        assert set(table.get("layers", {}).get(key, "").split()) <= types
    assert not set(table.get("layers", {}).get("elsewhere", "").split()) & types
    for key in ("fields", "without", "kinds"):
        for message, text in table.get(key, {}).items():
            assert {item.split("=")[0] for item in text.split()} <= known[message], f"{key} of {message}"
    for enum, text in table.get("enums", {}).items():
        assert {item.split("=")[0] for item in text.split()} <= set(enums[enum]), enum
    assert len(dialect.types) > 5


@pytest.mark.parametrize("name", [n for n in names() if not load(n).deploy])
def test_numbers_are_each_given_once(
    name: str,
) -> None:  # toolchains take the fields of several forks, by name
    for message, fields in load(name).fields.items():
        assert len(set(fields.values())) == len(fields), message


def test_the_first_numbers_are_everybodys() -> None:
    for name in names():
        fields = load(name).fields["LayerParameter"]
        assert {k: fields[k] for k in ("name", "type", "bottom", "top", "blobs")} == {
            "name": 1, "type": 2, "bottom": 3, "top": 4, "blobs": 7,
        }  # fmt: skip


@pytest.mark.parametrize("name", names())
def test_limits_are_on_something(name: str) -> None:
    dialect = load(name)
    for limit in dialect.limits:
        assert limit.types <= dialect.types
        assert limit.source
        bounded = (limit.least, limit.most, limit.among, limit.given)
        assert any(bound is not None for bound in bounded)
        if limit.of in ("kernel", "stride", "pad", "dilation", "bottoms", "tops"):
            continue
        side, _, rest = limit.of.partition(".")
        if side in ("bottom", "top"):
            assert rest in ("axes", "batch", "channels", "height", "width")
            continue
        message = caffe_pb2.LayerParameter.DESCRIPTOR
        for part in limit.of.split("."):
            assert part in message.fields_by_name
            message = message.fields_by_name[part].message_type


def test_bvlc_is_the_release() -> None:
    bvlc = load("bvlc")
    assert not bvlc.has("Clip") and not bvlc.has("Swish") and not bvlc.has("Permute")
    assert not bvlc.takes("Pooling", "pooling_param.round_mode")
    assert bvlc.takes("Pooling", "pooling_param.pool") and bvlc.takes("Convolution", "param.lr_mult")
    assert load("bvlc-master").takes("Pooling", "pooling_param.round_mode")


def test_the_package_has_all_of_its_own() -> None:
    own = load("caffe-torch")
    assert own.types == set(layer_factory.layer_type_list())


def test_bvlc_numbers_are_the_schemas() -> None:
    """Files in BVLC's form go both ways, so its numbers are the schema's."""
    fields, _ = library._schema()
    for message, numbers in load("bvlc-master").fields.items():
        assert numbers.items() <= fields[message].items(), message


def test_names() -> None:
    assert load("happynear/caffe-windows") is load("Caffe-Windows") is load("caffe-windows")
    assert load(load("ssd")) is load("ssd")
    with pytest.raises(UnknownNameError, match="caffe-windows"):
        load("caffe-window")
