"""Binary files: what any fork wrote is read, what is written is what protobuf would write."""

import os
import struct
import time

import numpy as np
import pytest
from support_assets import GOLDEN, assets

from caffe import errors
from caffe.formats import binaryproto, wire
from caffe.formats.binaryproto import read_blob, read_solver_state, read_weights
from caffe.proto import caffe_pb2

rng = np.random.RandomState(7)
WEIGHT = rng.randn(4, 3, 2, 5).astype(np.float32)
BIAS = rng.randn(4).astype(np.float32)


def blob_of(values, **fields):
    blob = caffe_pb2.BlobProto(data=values.reshape(-1), **fields)
    blob.shape.dim.extend(values.shape)
    return blob


def save(tmp_path, message):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(message if isinstance(message, bytes) else message.SerializeToString())
    return path


def version_2():
    net = caffe_pb2.NetParameter(name="net")
    net.layer.add(name="data", type="Input", top=["data"])
    layer = net.layer.add(
        name="conv", type="Convolution", bottom=["data"], top=["a", "b"], phase=caffe_pb2.TEST
    )
    layer.convolution_param.num_output = 4
    layer.include.add(phase=caffe_pb2.TEST)
    layer.blobs.extend([blob_of(WEIGHT), blob_of(BIAS)])
    return net


def test_version_2(tmp_path):
    weights = read_weights(save(tmp_path, version_2()))
    assert weights.name == "net"
    data, conv = weights.layers
    assert (data.name, data.blobs) == ("data", [])
    assert (conv.name, conv.type, conv.phase) == ("conv", "Convolution", 1)
    assert (conv.bottoms, conv.tops) == (["data"], ["a", "b"])
    np.testing.assert_array_equal(conv.blobs[0], WEIGHT)
    np.testing.assert_array_equal(conv.blobs[1], BIAS)
    assert conv.diffs == [None, None]
    assert not conv.blobs[0].flags.writeable


def test_version_1_with_four_sizes(tmp_path):
    net = caffe_pb2.NetParameter()
    layer = net.layers.add(name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT, bottom=["x"], top=["y"])
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    (layer,) = read_weights(save(tmp_path, net)).layers
    assert (layer.name, layer.type, layer.bottoms, layer.tops) == ("ip", "INNER_PRODUCT", ["x"], ["y"])
    np.testing.assert_array_equal(layer.blobs[0], np.arange(6).reshape(1, 1, 2, 3))


def test_version_0(tmp_path):
    net = caffe_pb2.NetParameter()
    inner = net.layers.add(top=["y"]).layer
    inner.name, inner.type = "ip", "innerproduct"
    inner.blobs.add(num=1, channels=1, height=1, width=3, data=[5, 6, 7])
    (layer,) = read_weights(save(tmp_path, net)).layers
    assert (layer.name, layer.type, layer.tops) == ("ip", "innerproduct", ["y"])
    np.testing.assert_array_equal(layer.blobs[0].ravel(), [5, 6, 7])


def message(*fields):
    """A message of (number, payload): bytes, an integer, or a list of fields."""
    out = b""
    for number, payload in fields:
        if isinstance(payload, int):
            out += wire.tag(number, wire.VARINT) + wire.encode_varint(payload)
        else:
            if isinstance(payload, list):
                payload = message(*payload)
            out += wire.tag(number, wire.LENGTH) + wire.encode_varint(len(payload)) + payload
    return out


def in_a_layer(*blob, beside=()):
    return message((100, [(1, b"odd"), *beside, (7, list(blob))]))


def floats(*values, code="f"):
    return struct.pack(f"<{len(values)}{code}", *values)


SHAPE = (7, [(1, 1), (1, 3)])


@pytest.mark.parametrize(
    "blob, dtype",
    [
        ([(5, floats(1, 2, 3)), SHAPE], "float32"),
        ([(5, floats(1)), (5, floats(2, 3)), SHAPE], "float32"),
        ([SHAPE, (8, floats(1, 2, 3, code="d"))], "float64"),
        ([(7, [(1, b"\x01\x03")]), (10, 2), (12, floats(1, 2, 3, code="e"))], "float16"),
        ([SHAPE, (12, floats(1, 2, 3))], "float32"),
        ([SHAPE, (12, floats(1, 2, 3, code="d")), (10, 0)], "float64"),
        ([(99, b"unknown"), (5, floats(1, 2, 3)), (98, 12345678901), SHAPE], "float32"),
    ],
)
def test_ways_of_holding_values(tmp_path, blob, dtype):
    (layer,) = read_weights(save(tmp_path, in_a_layer(*blob))).layers
    assert layer.blobs[0].dtype == dtype
    np.testing.assert_array_equal(layer.blobs[0], [[1, 2, 3]])


def test_values_that_are_not_packed(tmp_path):
    count = 100_000
    values = rng.randn(count).astype(np.float32)
    records = np.empty(count, [("tag", "u1"), ("value", "<f4")])
    records["tag"], records["value"] = 5 << 3 | wire.FIXED32, values
    shape = message((7, [(1, count)]))
    blob = records.tobytes() + shape
    raw = wire.tag(7, wire.LENGTH) + wire.encode_varint(len(blob)) + blob
    layer = message((1, b"odd")) + raw
    path = save(tmp_path, wire.tag(100, wire.LENGTH) + wire.encode_varint(len(layer)) + layer)
    start = time.perf_counter()
    (read,) = read_weights(path).layers
    assert time.perf_counter() - start < 0.5
    np.testing.assert_array_equal(read.blobs[0], values)


def test_fields_of_other_forks_are_passed_over(tmp_path):
    group = wire.tag(150, wire.GROUP) + message((1, 5)) + wire.tag(150, wire.END_GROUP)
    layer = message(
        (1, b"odd"),
        (145, b"\xff\xff not a message of ours"),
        (7, [(5, floats(1, 2, 3)), SHAPE]),
        (106, 17),  # a number where convolution_param would be
    )
    layer += group + wire.tag(147, wire.FIXED32) + b"\0\0\0\0" + wire.tag(151, wire.FIXED64) + b"\0" * 8
    file = wire.tag(100, wire.LENGTH) + wire.encode_varint(len(layer)) + layer + message((2000, b"x"))
    (read,) = read_weights(save(tmp_path, file)).layers
    np.testing.assert_array_equal(read.blobs[0], [[1, 2, 3]])


def test_scalars_and_nothing(tmp_path):
    path = save(tmp_path, in_a_layer((5, floats(8)), (7, [])))
    assert read_weights(path).layers[0].blobs[0].shape == ()
    path = save(tmp_path, in_a_layer((7, [(1, 0), (1, 3)])))
    assert read_weights(path).layers[0].blobs[0].shape == (0, 3)


BROKEN = {
    "a shape without data": (in_a_layer(SHAPE), "must hold 3 values"),
    "too few values": (
        in_a_layer((5, floats(1, 2)), SHAPE),
        r"must hold 3 values for its shape \[1, 3\]; got 2",
    ),
    "too many values": (in_a_layer((5, floats(1, 2, 3, 4)), SHAPE), "got 4"),
    "half a value": (in_a_layer((5, b"\0" * 5), SHAPE), "values of 4 bytes; got 5"),
    "an unknown raw type": (in_a_layer(SHAPE, (10, 7), (12, b"\0" * 3)), "got type 7"),
    "a negative size": (in_a_layer((5, b"\0" * 8), (7, [(1, 2**64 - 2), (1, 2**64 - 1)])), "not negative"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_blobs(tmp_path, case):
    content, expected = BROKEN[case]
    path = save(tmp_path, content)
    with pytest.raises(errors.WeightsError, match=expected) as caught:
        read_weights(path)
    assert "layer 'odd'" in str(caught.value)
    assert "blob 0" in str(caught.value)
    assert str(path) in str(caught.value)


def test_cut_short_anywhere(tmp_path):
    """No prefix of a file of weights is read as if it were whole, but where it ends between layers."""
    whole = version_2().SerializeToString()
    net = caffe_pb2.NetParameter(name="net")
    ends = {len(net.SerializeToString())}
    net.layer.add().CopyFrom(version_2().layer[0])
    ends.add(len(net.SerializeToString()))
    for length in range(1, len(whole)):
        path = save(tmp_path, whole[:length])
        if length in ends:
            read_weights(path)
            continue
        with pytest.raises(errors.WeightsError, match="byte"):
            read_weights(path)


def test_random_bytes_never_crash(tmp_path):
    whole = bytearray(version_2().SerializeToString())
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.randint(0, len(whole), 3):
            damaged[place] = rng.randint(256)
        try:
            read_weights(save(tmp_path, bytes(damaged)))
        except errors.WeightsError as error:
            assert error.file


def test_files_that_are_something_else(tmp_path):
    with pytest.raises(errors.MissingFileError):
        read_weights(tmp_path / "none.caffemodel")
    with pytest.raises(errors.WeightsError, match="empty"):
        read_weights(save(tmp_path, b""))
    with pytest.raises(errors.WeightsError, match="HDF5"):
        read_weights(save(tmp_path, b"\x89HDF\r\n\x1a\n" + b"\0" * 100))
    with pytest.raises(errors.WeightsError, match="damaged"):
        read_weights(save(tmp_path, b'name: "a text file"\n'))
    with pytest.raises(errors.FileAccessError):
        read_weights(tmp_path)


@pytest.mark.parametrize("with_diffs", [False, True])
def test_written_bytes_are_protobufs(tmp_path, with_diffs):
    net = version_2()
    net.force_backward = True
    net.layer.add(name="double", type="InnerProduct")
    double = rng.randn(2, 3)
    blobs = [[], [WEIGHT, BIAS], [double]]
    diffs = [[2 * b for b in layer] for layer in blobs]
    expected = caffe_pb2.NetParameter()
    expected.CopyFrom(net)
    for layer, values, gradients in zip(expected.layer, blobs, diffs):
        del layer.blobs[:]
        for v, d in zip(values, gradients):
            blob = layer.blobs.add()
            blob.shape.dim.extend(v.shape)
            wide = v.dtype == np.float64
            getattr(blob, "double_data" if wide else "data").extend(v.ravel())
            if with_diffs:
                getattr(blob, "double_diff" if wide else "diff").extend(d.ravel())
    path = tmp_path / "out.caffemodel"
    binaryproto.write_weights(path, net, blobs, diffs if with_diffs else None)
    assert path.read_bytes() == expected.SerializeToString()
    layers = read_weights(path).layers
    np.testing.assert_array_equal(layers[2].blobs[0], double)
    if with_diffs:
        np.testing.assert_array_equal(layers[1].diffs[0], 2 * WEIGHT)


def test_writing_takes_any_layout(tmp_path):
    path = tmp_path / "w.caffemodel"
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a")
    turned = WEIGHT.transpose(2, 0, 3, 1)
    binaryproto.write_weights(path, net, [[turned, np.float32(3).reshape(()), np.zeros((0, 2), np.float32)]])
    for got, expected in zip(read_weights(path).layers[0].blobs, [turned, np.float32(3), np.zeros((0, 2))]):
        np.testing.assert_array_equal(got, expected)


def test_writing_is_all_or_nothing(tmp_path):
    path = save(tmp_path, b"old")
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a")
    with pytest.raises(errors.WeightsError, match="1 layers; got 2"):
        binaryproto.write_weights(path, net, [[], []])
    with pytest.raises(AttributeError):
        binaryproto.write_weights(path, net, [[WEIGHT, "not an array"]])
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(errors.FileAccessError, match="cannot be written"):
        binaryproto.write_weights(tmp_path / "no" / "folder", net, [[]])


def test_blob_files(tmp_path):
    path = tmp_path / "mean.binaryproto"
    binaryproto.write_blob(path, WEIGHT)
    assert path.read_bytes() == blob_of(WEIGHT).SerializeToString()
    np.testing.assert_array_equal(read_blob(path), WEIGHT)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(errors.DataError, match="byte"):
        read_blob(path)


def test_solver_states(tmp_path):
    path = tmp_path / "s.solverstate"
    binaryproto.write_solver_state(path, 12, "w_iter_12.caffemodel", 3, [WEIGHT, BIAS])
    expected = caffe_pb2.SolverState(iter=12, learned_net="w_iter_12.caffemodel", current_step=3)
    expected.history.extend([blob_of(WEIGHT), blob_of(BIAS)])
    assert caffe_pb2.SolverState.FromString(path.read_bytes()) == expected
    state = read_solver_state(path)
    assert (state.iter, state.learned_net, state.current_step) == (12, "w_iter_12.caffemodel", 3)
    np.testing.assert_array_equal(state.history[0], WEIGHT)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(errors.SnapshotError):
        read_solver_state(path)


RECORDED = [
    path for path in sorted((GOLDEN / "solvers").glob("*.npz")) if "caffemodel" in np.load(path).files
]


@pytest.mark.parametrize("record", RECORDED, ids=lambda path: path.stem)
def test_files_of_the_original(tmp_path, record):
    """Recorded snapshots read back, and written again are the same bytes."""
    values = np.load(record)
    model, state, again = tmp_path / "m", tmp_path / "s", tmp_path / "again"
    model.write_bytes(values["caffemodel"].tobytes())
    state.write_bytes(values["solverstate"].tobytes())
    weights = read_weights(model)
    step = int(values["snapshot_iter"])
    for layer in weights.layers:
        for i, blob in enumerate(layer.blobs):
            np.testing.assert_array_equal(blob, values[f"param/{layer.name}/{i}"][step - 1])
    net = caffe_pb2.NetParameter.FromString(model.read_bytes())
    binaryproto.write_weights(again, net, [layer.blobs for layer in weights.layers])
    assert again.read_bytes() == model.read_bytes()
    solver = read_solver_state(state)
    assert solver.iter == step
    binaryproto.write_solver_state(
        again, solver.iter, solver.learned_net, solver.current_step, solver.history
    )
    assert again.read_bytes() == state.read_bytes()


def test_real_weights():
    """Trained models of several forks, fp16 ones among them."""
    half = read_weights(assets("models", "mtcnn_half_det1", "weights.caffemodel"))
    assert any(blob.dtype == np.float16 for layer in half.layers for blob in layer.blobs)
    old = read_weights(assets("models", "lenet_v1_everpeace", "weights.caffemodel"))
    assert {layer.type for layer in old.layers} >= {"CONVOLUTION", "INNER_PRODUCT"}
    assert [b.shape for b in old.layers[1].blobs] == [(20, 1, 5, 5), (1, 1, 1, 20)]
    yolo = read_weights(assets("models", "mobilenetv2_yolov3_nano_voc", "weights.caffemodel"))
    assert sum(blob.size for layer in yolo.layers for blob in layer.blobs) == 769807
    mean = read_blob(assets("labels", "imagenet_mean.binaryproto"))
    assert mean.shape == (1, 3, 256, 256)


def test_files_may_be_cut_short_once_they_are_read(tmp_path):
    """A file that is mapped ends the process when it is cut short and read on."""
    path = tmp_path / "big.caffemodel"
    net = caffe_pb2.NetParameter()
    net.layer.add(name="fc")
    binaryproto.write_weights(path, net, [[np.ones((2_500, 1_000), np.float32)]])
    (layer,) = read_weights(path).layers
    os.truncate(path, 100)
    assert layer.blobs[0].sum() == 2_500_000
    with pytest.raises(errors.WeightsError, match="must go on for"):
        read_weights(path)
