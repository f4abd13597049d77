"""Nets and snapshots from strangers: what cannot be is an error of ours with its layer, before memory is taken."""

from __future__ import annotations

import json
import time

import h5py
import numpy as np
import pytest

import caffe
from caffe import errors
from caffe.data.sources.database import create
from caffe.formats import hdf5, prototxt
from caffe.formats.datum import Datum


def layer(kind, more="", bottom='bottom: "x"', top="y"):
    made = f'top: "{top}"' if top else ""
    return f'layer {{ name: "l" type: "{kind}" {bottom} {made} {more} }}\n'


def inputs(*shapes):
    tops = " ".join(f'top: "{name}"' for name, _ in zip("xcd", shapes))
    dims = " ".join(f"shape {{ {' '.join(f'dim: {n}' for n in shape)} }}" for shape in shapes)
    return f'layer {{ name: "in" type: "Input" {tops} input_param {{ {dims} }} }}\n'


IN = inputs((2, 3, 8, 9))


def source(kind, field, name):
    return layer(kind, f'{field} {{ source: "{name}" batch_size: 2 }}', "")


def python(module, param=""):
    return IN + layer(
        "Python", f'python_param {{ module: "{module}" layer: "PadTensor" param_str: "{param}" }}'
    )


NETS = {
    "40 GB of input": (inputs((1 << 20, 1000, 1000, 1000)), "'x' 1048576×1000×1000×1000 take"),
    "an overflow": (inputs((1 << 31, 1 << 31, 1 << 31)), "must be countable"),
    "an overflow beside zero": (inputs((0, 1 << 62, 1 << 62)), "must be countable"),
    "70 axes": (inputs([1] * 70), "at most 32 axes"),
    "old inputs": ('input: "x"' + " input_dim: 2147483647" * 3 + " input_dim: 4", "must be countable"),
    "many outputs": (
        IN + layer("InnerProduct", "inner_product_param { num_output: 4000000000 }"),
        r"parameters \[4000000000, 216\].*Make num_output",
    ),
    "many channels": (
        IN + layer("Convolution", "convolution_param { num_output: 4000000000 kernel_size: 3 }"),
        "of memory",
    ),
    "a wide kernel": (
        IN
        + layer("Convolution", "convolution_param { num_output: 4 kernel_size: 4000000000 pad: 4000000000 }"),
        "can be counted",
    ),
    "tiles": (IN + layer("Tile", "tile_param { tiles: 2147483647 }"), "memory"),
    "a batch in memory": (
        layer(
            "MemoryData",
            "memory_data_param { batch_size: 1000000000 channels: 3 height: 20 width: 20 }",
            "",
            'x" top: "t',
        ),
        "the net needs 4.8",
    ),
    "a trillion": (
        layer("DummyData", "dummy_data_param { shape { dim: 1000000 dim: 1000000 } }", ""),
        "needs 4 TB of memory",
    ),
    "a name with zero": (source("ImageData", "image_data_param", "a\\000b"), "cannot be read"),
    "an output's name with zero": (
        inputs((2, 3), (2,))
        + layer("HDF5Output", 'hdf5_output_param { file_name: "a\\000b" }', 'bottom: "x" bottom: "c"', ""),
        "zero byte",
    ),
    "a long name": (source("Data", "data_param", "a" * 5000), "File name too long"),
    "a device as list": (source("ImageData", "image_data_param", "/dev/zero"), "got a device"),
    "a device as windows": (
        layer(
            "WindowData",
            'window_data_param { source: "/dev/zero" batch_size: 2 } transform_param { crop_size: 20 }',
            "",
            'y" top: "t',
        ),
        "got a device",
    ),
    "a device as HDF5": (source("HDF5Data", "hdf5_data_param", "/dev/zero"), "got a device"),
    "a module outside": (python("../../evil"), "dotted name"),
    "the folder as module": (python("."), "dotted name"),
    "a long module": (python("x" * 5000), "dotted name"),
    "brackets": (python("pad", "[" * 100_000), "must be a dictionary"),
    "minus": (python("pad", "-" * 9_000 + "1"), "must be a dictionary"),
}


@pytest.mark.parametrize("name", NETS)
def test_nets_that_cannot_be(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    text, message = NETS[name]
    (tmp_path / "n.prototxt").write_text(text)
    with pytest.raises(errors.CaffeError, match=message) as caught:
        caffe.Net("n.prototxt", caffe.TEST).forward()
    assert caught.value.layer in ("l", "in", "input", None)
    assert len(str(caught.value)) < 6000


def test_more_threads_than_a_machine_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with create("db", "lmdb") as out:
        out.put(b"0", Datum(1, 2, 3, bytes(6), label=1).serialize())
    (tmp_path / "n.prototxt").write_text(
        layer("Data", 'data_param { source: "db" backend: LMDB batch_size: 2 threads: 100000 }', "")
    )
    with pytest.raises(errors.LayerError, match="at most 256; got 100000"):
        caffe.Net("n.prototxt", caffe.TEST)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_a_million_steps_are_built_at_once(tmp_path, kind):
    (tmp_path / "n.prototxt").write_text(
        inputs((1_000_000, 1, 2), (1_000_000, 1))
        + layer(kind, "recurrent_param { num_output: 5 }", 'bottom: "x" bottom: "c"')
    )
    start = time.monotonic()
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    assert net.blobs["y"].shape == (1_000_000, 1, 5)
    assert time.monotonic() - start < 20


def test_what_the_user_allows(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "10M")
    text = IN + layer("InnerProduct", "inner_product_param { num_output: 7000 }")
    (tmp_path / "n.prototxt").write_text(text)
    caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    (tmp_path / "two.prototxt").write_text(
        text + text.replace(IN, "").replace('"l"', '"k"').replace('"y"', '"z"')
    )
    with pytest.raises(errors.LayerError, match="allowed by CAFFE_MAX_MEMORY") as caught:
        caffe.Net(str(tmp_path / "two.prototxt"), caffe.TEST)
    assert caught.value.layer == "k"


@pytest.mark.cpu
def test_blobs_that_memory_cannot_hold(tmp_path):
    (tmp_path / "n.prototxt").write_text(IN)
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    blob = net.blobs["x"]
    blob.reshape(10**6, 10**6, 10)
    with pytest.raises(errors.NetError, match="needs 40 TB"):
        blob.data_memory.renew()
        net.forward()
    with pytest.raises(errors.InputError, match="countable"):
        blob.reshape(1 << 40, 1 << 40)


SOLVER = """net_param {
  layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {
    shape { dim: 4 dim: 5 } shape { dim: 4 dim: 2 } data_filler { type: "gaussian" } } }
  layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {
    num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l" } }
base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 snapshot_prefix: "s" random_seed: 3
"""


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.prototxt").write_text(SOLVER)
    solver = caffe.get_solver("s.prototxt")
    solver.step(2)
    solver.snapshot()
    return tmp_path


def worker(**change):
    return lambda state: {**state, "workers": [{**state["workers"][0], **change}]}


STATES = {
    "deep": lambda s: "[" * 200_000,
    "a list": lambda s: [1],
    "not text": lambda s: "\udcff",
    "empty": lambda s: "",
    "short random state": worker(torch_rng="AAAA"),
    "a random state that is no text": worker(torch_rng=3),
    "another generator's": worker(numpy_rng={"bit_generator": "MT19937", "state": {}}),
    "losses in no list": worker(losses="abc"),
    "losses that are no numbers": worker(losses=["a"]),
    "a loss that is no number": worker(smoothed="x"),
    "cursors": worker(cursors=3),
    "no policy": lambda s: {**s, "policy": None},
    "a scale of letters": lambda s: {**s, "loss_scale": ["a", "b"]},
    "workers that are numbers": lambda s: {**s, "workers": [3]},
    "an endless number": lambda s: '{"iter": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("name", STATES)
def test_what_makes_resuming_exact(snapshot, name):
    path = snapshot / "s_iter_2.trainstate"
    changed = STATES[name](json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed), errors="surrogateescape")
    with pytest.raises(errors.SnapshotError, match="trainstate: The file that makes resuming exact"):
        caffe.get_solver("s.prototxt").restore("s_iter_2.solverstate")


@pytest.mark.parametrize("names", [("a", "a/0"), ("./a", "b"), ("a//b", "c"), ("/a", "b")])
def test_names_that_hdf5_cannot_hold(tmp_path, names):
    with pytest.raises(errors.WeightsError, match="cannot stand in an HDF5 file"):
        hdf5.write_weights(tmp_path / "w.h5", [(name, [np.ones(3)]) for name in names])
    assert not list(tmp_path.iterdir())


def test_hdf5_snapshots_that_would_fail_are_refused_at_the_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.prototxt").write_text(
        SOLVER.replace('name: "fc"', 'name: "fc//1"') + "snapshot: 5 snapshot_format: HDF5"
    )
    with pytest.raises(errors.WeightsError, match="snapshot_format: BINARYPROTO"):
        caffe.get_solver("s.prototxt")


def test_training_that_memory_cannot_hold(monkeypatch):
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "1.3M")
    param = prototxt.parse_solver(
        SOLVER.replace("num_output: 2", "num_output: 20000").replace("dim: 2", "dim: 20000")
    )
    with pytest.raises(errors.SolverError, match="parameters, gradients and 1 histories") as caught:
        caffe.SGDSolver(param)
    assert caught.value.layer == "fc"


@pytest.mark.parametrize("kind", ["external", "link", "virtual", "empty", "scalar", "text"])
def test_hdf5_data(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    with h5py.File("d.h5", "w") as file:
        if kind == "external":
            file.create_dataset("y", (8, 4), "u1", external=[("/etc/passwd", 0, 32)])
        elif kind == "link":
            file["y"] = h5py.ExternalLink("/etc/passwd", "/a")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4, 3), "f4")
            layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4, 3))
            file.create_virtual_dataset("y", layout)
        else:
            file["y"] = {"empty": h5py.Empty("f4"), "scalar": 1.0, "text": "abc"}[kind]
    (tmp_path / "l.txt").write_text("d.h5\n")
    (tmp_path / "n.prototxt").write_text(source("HDF5Data", "hdf5_data_param", "l.txt"))
    with pytest.raises(errors.DataError, match="must hold"):
        caffe.Net("n.prototxt", caffe.TEST).forward()


BLOBS = inputs((16, 3, 100, 100)) + "".join(
    f'layer {{ name: "p{i}" type: "Pooling" bottom: "{"x" if i == 0 else f"p{i - 1}"}" top: "p{i}"'
    f" pooling_param {{ kernel_size: 3 pad: 1 stride: {2 if i == 3 else 1} }} }}\n"
    for i in range(6)
)


def test_all_blobs_are_added_up_before_a_forward(tmp_path, monkeypatch):
    """No layer needs 5 MB by itself; together they need 9."""
    (tmp_path / "n.prototxt").write_text(BLOBS)
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "5M")
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    with pytest.raises(
        errors.NetError, match=r"a forward of the net, 9\.18 MB of blobs.* takes most, 1\.92 MB"
    ) as c:
        net.forward()
    assert c.value.layer == "in" and "16×3×100×100" in str(c.value) and "set_inference" in str(c.value)
    assert not any(blob.data_memory.allocated for blob in net.blobs.values())
    net.set_inference()
    net.forward()  # keeps two at a time
    net.set_inference(False)
    net.blobs["x"].reshape(2, 3, 100, 100)
    net.reshape()
    net.forward()
    with pytest.raises(errors.NetError, match="a forward of the net"):
        net.blobs["x"].reshape(17, 3, 100, 100)
        net.reshape()


def test_blobs_in_place_and_views_are_no_memory_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "n.prototxt").write_text(
        inputs((16, 3, 100, 100))
        + 'layer { name: "r" type: "ReLU" bottom: "x" top: "x" }\n'
        + 'layer { name: "f" type: "Flatten" bottom: "x" top: "f" }\n'
        + 'layer { name: "g" type: "Reshape" bottom: "x" top: "g" reshape_param { shape { dim: -1 } } }\n'
    )
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "4M")
    caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST).forward()


def test_training_is_measured_with_its_blobs(tmp_path, monkeypatch):
    text = SOLVER.replace("dim: 4 dim", "dim: 4000 dim")  # 24 kB of parameters and history, 112 kB of blobs
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "120k")
    solver = caffe.SGDSolver(prototxt.parse_solver(text))
    with pytest.raises(
        errors.SolverError, match=r"training with SGD \(\d+ kB of blobs; 144 bytes.*checkpoint"
    ) as c:
        solver.step(1)
    assert c.value.layer == "d" and solver.iter == 0
    monkeypatch.setenv("CAFFE_MAX_MEMORY", "300k")
    solver.step(1)
