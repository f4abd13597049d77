"""What is written in dialect ``bvlc`` is text and bytes that BVLC Caffe 1.0's own parser takes.

Its schema, as recorded, becomes messages of protobuf without any field of ours: text with another field fails to
parse, bytes with another number or wire type are unknown there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.unknown_fields import UnknownFieldSet
from support_assets import GOLDEN
from torch import nn
from torch.nn import functional as F

import caffe
from caffe import dialects

FACTS = json.loads((GOLDEN / "bvlc_schema.json").read_text(encoding="utf-8"))
_F = descriptor_pb2.FieldDescriptorProto
_PLAIN = {
    name: getattr(_F, f"TYPE_{name.upper()}")
    for name in ("float", "double", "int32", "int64", "uint32", "bool", "string", "bytes")
}
LATER = {"SwishParameter", "ClipParameter"}
"""Of the recorded schema, what came after 1.0."""


@pytest.fixture(scope="module")
def net_message() -> Any:
    """BVLC's NetParameter as a class."""
    file = descriptor_pb2.FileDescriptorProto(name="bvlc.proto", package="bvlc", syntax="proto2")
    messages: dict[str, Any] = {}

    def holder(name: str) -> Any:
        if "." not in name:
            return file
        outer = name.rsplit(".", 1)[0]
        return messages.setdefault(outer, None) or make(outer)

    def make(name: str) -> Any:
        where = holder(name)
        made = (where.message_type if where is file else where.nested_type).add(name=name.rsplit(".", 1)[-1])
        messages[name] = made
        return made

    for name in FACTS["messages"]:
        if not messages.get(name):
            make(name)
    for name, values in FACTS["enums"].items():
        enum = holder(name).enum_type.add(name=name.rsplit(".", 1)[-1])
        for label, number in values.items():
            enum.value.add(name=label, number=number)
    for name, fields in FACTS["messages"].items():
        for field, (number, kind, label, *_default) in fields.items():
            if kind in LATER:
                continue
            made = messages[name].field.add(name=field, number=number)
            made.label = _F.LABEL_REPEATED if "repeated" in label else getattr(_F, f"LABEL_{label.upper()}")
            made.options.packed = "packed" in label
            if not made.options.packed:
                made.ClearField("options")
            if kind in _PLAIN:
                made.type = _PLAIN[kind]
            else:
                made.type = _F.TYPE_ENUM if kind in FACTS["enums"] else _F.TYPE_MESSAGE
                made.type_name = f".bvlc.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bvlc.NetParameter"))


def unknown(message: Any, place: str = "") -> list[str]:
    """The fields that a message's schema does not know, and those of the messages in it."""
    found = [f"{place}.{field.field_number}" for field in UnknownFieldSet(message)]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if isinstance(value, list) or hasattr(value, "add") else [value]:
                found += unknown(item, f"{place}.{field.name}")
    return found


class Attention(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Net(nn.Module):
    """A bit of everything that 1.0 has a form for."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.PReLU(8), nn.MaxPool2d(3, 2, 1)
        )
        self.attention = Attention(8)
        self.left, self.right = nn.Conv2d(8, 6, 1), nn.Conv2d(8, 6, (3, 1), padding=(1, 0))
        self.up = nn.ConvTranspose2d(12, 5, 4, 2, 1)
        self.end = nn.Linear(5, 7)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.attention(self.depthwise(self.stem(x)))
        x = torch.cat([F.leaky_relu(self.left(x), 0.2), F.elu(self.right(x))], 1)
        a, b = x.chunk(2, 1)
        large = self.up(torch.cat([a * 0.5 + b, torch.tanh(a - b)], 1))
        score = self.end(F.avg_pool2d(large, large.shape[2:]).flatten(1))
        return {"map": F.hardswish(large), "score": torch.softmax(score, 1)}


@pytest.mark.parametrize("fold", [False, True])
def test_text_and_bytes(net_message: Any, tmp_path: Path, fold: bool) -> None:
    torch.manual_seed(3)
    caffe.from_torch(Net().eval(), (2, 3, 16, 14), tmp_path / "net", dialect="bvlc", fold=fold)
    text = text_format.Parse((tmp_path / "net.prototxt").read_text(encoding="utf-8"), net_message())
    stored = net_message.FromString((tmp_path / "net.caffemodel").read_bytes())
    assert not unknown(stored)
    types = dialects.load("bvlc").types
    for net in (text, stored):
        assert {layer.type for layer in net.layer} <= set(types) and not net.layers
        assert net.IsInitialized()
    # its numbers, by its own fields, are the module's
    weights = {
        layer.name: [np.array(b.data, np.float32).reshape(b.shape.dim) for b in layer.blobs]
        for layer in stored.layer
    }
    net = caffe.Net(str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"), caffe.TEST)
    assert set(net.params) == {name for name, blobs in weights.items() if blobs}
    for name, blobs in net.params.items():
        assert all(np.array_equal(a.data, b) for a, b in zip(blobs, weights[name]))


def test_a_field_of_a_fork_would_be_found(net_message: Any, tmp_path: Path) -> None:
    torch.manual_seed(3)
    caffe.from_torch(Attention(6).eval(), (2, 6, 9, 7), tmp_path / "net", dialect="caffe-torch")
    with pytest.raises(text_format.ParseError):
        text_format.Parse('layer { type: "Pooling" pooling_param { ceil_mode: false } }', net_message())
    param = caffe.proto.caffe_pb2.NetParameter()
    param.layer.add(type="Pooling").pooling_param.ceil_mode = False
    assert unknown(net_message.FromString(param.SerializeToString()))
