"""Datum at wire level: the same bytes and values as protobuf's."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from caffe.errors import CorruptDataError, DataError
from caffe.formats.datum import Datum, parse, stack
from caffe.proto import caffe_pb2

RNG = np.random.default_rng(0)
MESSAGES = [
    caffe_pb2.Datum(channels=2, height=3, width=4, data=RNG.bytes(24), label=5),
    caffe_pb2.Datum(channels=2, height=300, width=4, data=RNG.bytes(2400), label=0, encoded=False),
    caffe_pb2.Datum(data=b"\xff\xd8abc", label=300, encoded=True),
    caffe_pb2.Datum(channels=1, height=2, width=2, float_data=[1.5, -2, 3, 4], label=2**31 - 1),
    caffe_pb2.Datum(channels=1, height=1, width=3, data=b"abc", float_data=[0.5, 7], encoded=True),
    caffe_pb2.Datum(label=-7),
    caffe_pb2.Datum(),
]


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
def test_reads_and_writes_as_protobuf(message: caffe_pb2.Datum) -> None:
    raw = message.SerializeToString()
    for given in (raw, memoryview(raw)):
        datum = parse(given)
        assert datum.shape == (message.channels, message.height, message.width)
        assert bytes(datum.data) == message.data
        assert datum.floats.tolist() == list(message.float_data)
        assert (datum.label, datum.encoded) == (
            message.label if message.HasField("label") else None,
            message.encoded if message.HasField("encoded") else None,
        )
        assert datum.serialize() == raw


def test_fields_in_any_order_packed_floats_and_unknown_fields() -> None:
    floats = np.array([1, 2.5], "<f4").tobytes()
    raw = b"".join(
        [
            b"\x28\x03",  # label
            b"\x32\x08" + floats,  # float_data, packed
            b"\x92\x01\x02hi",  # field 18, a string
            b"\x99\x01" + bytes(8),  # field 19, fixed64
            b"\xa5\x01" + bytes(4),  # field 20, fixed32
            b"\x35" + floats[:4],  # float_data again, not packed
            b"\x08\x07",  # channels
        ]
    )
    datum = parse(raw)
    assert (datum.label, datum.channels, datum.floats.tolist()) == (3, 7, [1, 2.5, 1])


@pytest.mark.parametrize("message", MESSAGES[:5], ids=range(5))
def test_cut_off_anywhere_as_protobuf_sees_it(message: caffe_pb2.Datum) -> None:
    raw = message.SerializeToString()
    for size in range(len(raw)):
        try:
            wanted = caffe_pb2.Datum.FromString(raw[:size])
        except DecodeError:
            with pytest.raises(CorruptDataError):
                parse(raw[:size])
            continue
        found = parse(raw[:size])
        assert found.shape == (wanted.channels, wanted.height, wanted.width)
        assert bytes(found.data) == wanted.data and found.floats.tolist() == list(wanted.float_data)


def test_bytes_that_are_no_datum() -> None:
    for raw in (b"\x0f", b"\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x08", b"\x35\x00"):
        with pytest.raises(CorruptDataError, match="no Datum"):
            parse(raw)
    with pytest.raises(DataError, match="2×3×4 must hold 24 values; got 5"):
        Datum(2, 3, 4, b"hello").pixels()


def _records(labels: list[int], encoded: bool | None = None) -> list[bytes]:
    return [Datum(2, 3, 4, RNG.bytes(24), label, encoded=encoded).serialize() for label in labels]


@pytest.mark.parametrize("labels", [[0, 5, 127], [128, 9999], [20000, 2**20]])
@pytest.mark.parametrize("encoded", [None, False])
def test_stack_reads_many_at_once(labels: list[int], encoded: bool | None) -> None:
    records = _records(labels, encoded)
    found = stack([memoryview(r) for r in records])
    assert found is not None and found.shape == (2, 3, 4)
    assert found.labels.tolist() == labels
    assert [row.tobytes() for row in found.values] == [bytes(parse(r).data) for r in records]


def test_stack_leaves_the_rest_alone() -> None:
    other_shape = Datum(3, 2, 4, RNG.bytes(24), 1).serialize()
    pixels_like_a_label = Datum(2, 3, 4, RNG.bytes(24)).serialize() + b"\x38\x01"
    for odd in (
        _records([1, 300]),
        [*_records([1]), other_shape],
        _records([-1, -2]),
        _records([1, 2], encoded=True),
        [*_records([1]), pixels_like_a_label],
        [Datum(2, 3, 4, RNG.bytes(24)).serialize()] * 2,
        [Datum(2, 3, 5, RNG.bytes(24), 3).serialize()] * 2,
        [Datum(1, 2, 2, floats=np.ones(4, np.float32), label=1).serialize()] * 2,
    ):
        assert stack(odd) is None
