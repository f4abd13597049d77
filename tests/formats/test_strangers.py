"""Files from strangers: none ends or stops the process, fills its memory, or reads what it should not."""

from __future__ import annotations

import itertools
import os
import time

import h5py
import numpy as np
import pytest

from caffe import errors, limits
from caffe.formats import binaryproto, files, hdf5, prototxt, wire
from caffe.formats.wire import LENGTH, VARINT


def field(number, payload):
    return wire.tag(number, LENGTH) + wire.encode_varint(len(payload)) + payload


def shape(*dims):
    return field(7, field(1, b"".join(map(wire.encode_varint, dims))))


def layer(*blobs):
    return field(100, field(1, b"fc") + b"".join(field(7, blob) for blob in blobs))


def old_shape(*dims):
    return b"".join(wire.tag(i, VARINT) + wire.encode_varint(n) for i, n in enumerate(dims, 1))


def groups(depth):
    return b"".join(wire.tag(20, kind) * depth for kind in (wire.GROUP, wire.END_GROUP))


def unpacked(number):
    return wire.tag(number, wire.FIXED32) + b"\0\0\0\0"


WEIGHTS = {
    "huge": (layer(shape(1 << 31, 1 << 31) + field(5, b"\0" * 16)), "whose values can be counted"),
    "huge beside zero": (layer(shape(0, 1 << 62, 1 << 62)), "whose values can be counted"),
    "zero behind an overflow": (layer(shape(1 << 32, 1 << 32, 0, 5)), "whose values can be counted"),
    "negative": (layer(shape(-4, -216)), "not negative"),
    "33 axes": (layer(shape(*[1] * 33) + field(5, b"\0" * 4)), "at most 32 axes"),
    "old negative": (layer(old_shape(-1, -1, 4, 216)), "not negative"),
    "old huge": (layer(old_shape(1 << 62, 1 << 62, 0, 216)), "whose values can be counted"),
    "deep groups": (layer() + groups(5000), "at most 100 deep"),
    "a name of a megabyte": (field(100, field(1, b"x" * (1 << 20))), "a name of at most"),
    "runs in turns": (
        layer(shape(200_000) + (unpacked(5) + unpacked(6)) * 200_000),
        "at most 2,000,000 items",
    ),
    "empty layers": (field(100, b"") * 400_000, "at most 2,000,000 items"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(tmp_path, name):
    content, message = WEIGHTS[name]
    path = tmp_path / "w.caffemodel"
    path.write_bytes(content)
    with pytest.raises(errors.WeightsError, match=message) as caught:
        binaryproto.read_weights(path)
    assert caught.value.file == str(path)


def test_floats_packed_and_not_are_read_in_turns(tmp_path):
    runs = b"".join(unpacked(5) * n + field(5, np.arange(n, dtype="<f4").tobytes()) for n in (1, 2, 5000, 3))
    path = tmp_path / "w.caffemodel"
    path.write_bytes(layer(shape(10_012) + runs))
    (found,) = binaryproto.read_weights(path).layers[0].blobs
    wanted = np.concatenate([np.r_[np.zeros(n), np.arange(n)] for n in (1, 2, 5000, 3)])
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("read", [binaryproto.read_weights, hdf5.read_weights, prototxt.read_text])
def test_names_that_are_no_files(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    start = time.monotonic()
    for path, kind in (
        (tmp_path / "pipe", errors.CaffeError),
        ("/dev/zero", errors.CaffeError),
        (tmp_path, errors.FileAccessError),
        ("a\0b", errors.FileAccessError),
        ("a" * 5000, errors.FileAccessError),
        (tmp_path / "nothing", errors.MissingFileError),
    ):
        if read is prototxt.read_text and str(path).endswith("pipe"):
            assert read(path) == ""  # nobody writes to it
            continue
        with pytest.raises(kind):
            read(path)
    assert time.monotonic() - start < 5


def test_prototxt_through_a_pipe():
    reading, writing = os.pipe()
    os.write(writing, b'name: "piped"\n')
    os.close(writing)
    assert prototxt.read_net(f"/dev/fd/{reading}").param.name == "piped"
    os.close(reading)


def test_a_file_cut_short_while_it_is_read(tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(layer(shape(1000) + field(5, b"\0" * 4000)))
    with pytest.raises(wire.WireError, match="cut short while"), files.FileSource(path, ValueError) as data:
        os.truncate(path, 100)
        data.array(10, 4000, "u1")


TEXTS = {
    "blank lines": "\n" * 200_000 + 'name: "x"',
    "lines of spaces": " \n" * 200_000 + 'name: "x"',
    "one long line": "a" * 200_000,
    "colons": "a:" * 100_000,
    "a device list without end": "device_id: [0\n" * 30_000,
    "quotes without end": "'\n" * 200_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("parse", [prototxt.parse_net, prototxt.parse_solver])
def test_text_is_read_in_time_that_grows_with_its_length(text, parse):
    start = time.monotonic()
    try:
        parse(text)
    except errors.ParseError as error:
        assert len(str(error)) < 2000
    assert time.monotonic() - start < 20  # seconds; with its square it takes minutes


def test_unknown_text_nested_deep():
    with pytest.raises(errors.ParseError, match="nested too deep"):
        prototxt.parse_net("foo {" * 5000 + "}" * 5000, permissive=True)


@pytest.mark.filterwarnings("ignore::caffe.errors.CaffeWarning")
def test_unknown_strings_are_passed_over_quickly():
    start = time.monotonic()
    prototxt.parse_net("foo: " + '"a" ' * 50_000, permissive=True)
    assert time.monotonic() - start < 20


def in_hdf5(path, make):
    with h5py.File(path, "w") as file:
        make(file, file.create_group("data/fc"))


def cyclic(file, group):
    made = [file["data"].create_group(f"g{i}") for i in range(40)]
    for one, other in itertools.pairwise(made):
        one["left"] = one["right"] = other


def deep(file, group):
    for _ in range(3000):
        group = group.create_group("g")


def virtual(file, group):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    group.create_virtual_dataset("0", layout)


def soft_to_external(file, group):
    file["outside"] = h5py.ExternalLink("/etc/passwd", "/x")
    group["0"] = h5py.SoftLink("/outside/x")


HDF5 = {
    "cyclic groups": (cyclic, "every group once"),
    "a group in itself": (lambda f, g: g.__setitem__("g", g), "every group once"),
    "deep groups": (deep, "at most 100 deep"),
    "key 99999999": (lambda f, g: g.create_dataset("99999999", data=1.0), "blobs by number"),
    "key of 20 digits": (lambda f, g: g.create_dataset("1" * 20, data=1.0), "blobs by number"),
    "external storage": (
        lambda f, g: g.create_dataset("0", (8,), "u1", external=[("/etc/passwd", 0, 8)]),
        "'0' leads to the file '/etc/passwd'",
    ),
    "external link": (lambda f, g: g.__setitem__("0", h5py.ExternalLink("/x.h5", "/a")), "'/x.h5'"),
    "external group": (lambda f, g: f["data"].__setitem__("g", h5py.ExternalLink("/x.h5", "/a")), "'/x.h5'"),
    "soft link outside": (soft_to_external, "'/etc/passwd'"),
    "virtual": (virtual, "'/etc/passwd'"),
    "soft link to itself": (lambda f, g: g.__setitem__("0", h5py.SoftLink("/data/fc/0")), "links that end"),
    "string": (lambda f, g: g.create_dataset("0", data="abc"), "must hold numbers"),
    "compound": (lambda f, g: g.create_dataset("0", data=np.zeros(3, [("a", "f4")])), "must hold numbers"),
    "reference": (lambda f, g: g.create_dataset("0", (1,), h5py.ref_dtype), "must hold numbers"),
    "variable length": (lambda f, g: g.create_dataset("0", (1,), h5py.vlen_dtype("f4")), "must hold numbers"),
    "complex": (lambda f, g: g.create_dataset("0", data=np.zeros(3, "c8")), "must hold numbers"),
    "empty": (lambda f, g: g.create_dataset("0", data=h5py.Empty("f4")), "and no values"),
    "huge": (lambda f, g: g.create_dataset("0", (10**14,), "f4", chunks=(1024,)), "of memory"),
}


@pytest.mark.parametrize("name", HDF5)
def test_hdf5_weights(tmp_path, name):
    make, message = HDF5[name]
    in_hdf5(tmp_path / "w.h5", make)
    with pytest.raises(errors.WeightsError, match=message):
        hdf5.read_weights(tmp_path / "w.h5")


def test_external_storage_where_the_user_allows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFE_HDF5_EXTERNAL", "1")
    np.arange(6, dtype="<f4").tofile(tmp_path / "raw")
    storage = [(str(tmp_path / "raw"), 0, 24)]
    in_hdf5(tmp_path / "w.h5", lambda f, g: g.create_dataset("0", (2, 3), "f4", external=storage))
    ((name, (values,)),) = hdf5.read_weights(tmp_path / "w.h5")
    assert name == "fc"
    np.testing.assert_array_equal(values, np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    "content",
    [
        {"iter": [-1]},
        {"iter": "x"},
        {"iter": [0.5]},
        {"iter": [1 << 40]},
        {"iter": [1], "learned_net": 3},
        {"iter": [1], "history": 1},
    ],
    ids=str,
)
def test_hdf5_states(tmp_path, content):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        for name, value in content.items():
            file.create_dataset(name, data=value)
        if "history" not in content:
            file.create_group("history")
    with pytest.raises(errors.SnapshotError):
        hdf5.read_solver_state(tmp_path / "s.h5")


def test_memory_as_the_user_says(monkeypatch):
    for text, wanted in (("1000", 1000), ("2K", 2048), ("1.5 GiB", 3 << 29), ("0", 1 << 62)):
        monkeypatch.setenv("CAFFE_MAX_MEMORY", text)
        assert limits.memory() == wanted
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "much")
    assert limits.memory() == limits.installed_memory() > 1 << 20
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "1M")
    with pytest.raises(limits.LimitError, match=r"x needs 2 MB of memory; 1.05 MB are allowed by CAFFE_MAX"):
        limits.check_memory(2_000_000, "x")


@pytest.mark.parametrize("inside", ["0/values", "weights", "kernel/0"])
def test_a_layers_group_without_blobs_is_no_layer_left_as_it_was(tmp_path, inside):
    import caffe

    text = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 } }
    layer { name: "fc/2" type: "InnerProduct" bottom: "y" top: "z" inner_product_param { num_output: 5 } }"""
    net = caffe.Net(prototxt.parse_net(text), caffe.TEST)
    hdf5.write_weights(
        tmp_path / "w.h5", [("fc/2", [np.ones((5, 4)), np.ones(5)]), ("of/others", [np.ones(1)])]
    )
    assert net.copy_from(tmp_path / "w.h5").kept == ["fc"]  # the name of the one begins as the other's
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file[f"data/fc/{inside}"] = np.ones((4, 3))
    with pytest.raises(errors.WeightsError, match=r"blobs '0', '1' … in the group of layer 'fc'; got \w+\."):
        net.copy_from(tmp_path / "w.h5")
