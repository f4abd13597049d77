"""The formats that are fuzzed: small files to start from, and what reads them."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import torch

import caffe
from caffe import training_log
from caffe.data.image_files import read_list
from caffe.data.sources.database import create, open_database
from caffe.data.sources.window import read_windows
from caffe.data.transform import decode
from caffe.formats import binaryproto, datum, hdf5, idx, model_folder, prototxt
from caffe.formats.lmdb_pages import LmdbFile
from caffe.importing import sources
from caffe.legacy import notebooks
from caffe.proto import caffe_pb2
from caffe.serving import app, protocol
from caffe.serving import images as served_images
from caffe.solvers import metrics, snapshot

NET = """name: "n"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" param { lr_mult: 1 } convolution_param {
  num_output: 4 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "xavier" }
  bias_filler { type: "constant" value: 0.2 } } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "r" type: "ReLU" bottom: "p" top: "p" relu_param { negative_slope: 0.1 } }
layer { name: "l" type: "LRN" bottom: "p" top: "q" lrn_param { local_size: 3 alpha: 0.1 } }
layer { name: "t" type: "Reshape" bottom: "q" top: "t" reshape_param { shape { dim: 0 dim: -1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "t" top: "y" inner_product_param { num_output: 5 } }
layer { name: "s" type: "Softmax" bottom: "y" top: "s" include { phase: TEST } }
"""
OLD_NET = """name: "old" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 weight_decay: 0
  convolution_param { num_output: 2 kernel_size: 3 } }
layers { name: "e" type: ELTWISE bottom: "c" bottom: "c" top: "e" eltwise_param { operation: SUM coeff: 1 coeff: -1 } }
"""
SOLVER = """net: "n.prototxt" base_lr: 0.01 lr_policy: "multistep" gamma: 0.1 stepvalue: 10 stepvalue: 20 momentum: 0.9
weight_decay: 0.0005 max_iter: 30 display: 5 snapshot: 10 snapshot_prefix: "s" test_iter: 3 test_interval: 7
solver_mode: CPU type: "SGD" random_seed: 1
"""


@dataclass
class Format:
    """One format: how its cases are mutated (``text``, ``wire``, ``json`` or ``bytes``), made and read."""

    name: str
    kind: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], Any]


def _of_text(*texts: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [text.encode() for text in texts]


def _built(path: Path) -> Any:
    return caffe.Net(str(path), caffe.TEST)


def _weights(folder: Path) -> list[bytes]:
    layers = caffe_pb2.NetParameter(name="n")
    layers.layer.add(name="fc", type="InnerProduct")
    layers.layer.add(name="c", type="Convolution")
    binaryproto.write_weights(
        folder / "w", layers, [[np.ones((4, 6), np.float32), np.ones(4, np.float32)], []]
    )
    old = caffe_pb2.NetParameter()
    blob = old.layers.add(name="fc", type=14).blobs.add(num=1, channels=1, height=2, width=3)
    blob.data.extend(range(6))
    return [(folder / "w").read_bytes(), old.SerializeToString()]


def _blob(folder: Path) -> list[bytes]:
    binaryproto.write_blob(folder / "b", np.ones((1, 3, 4, 5), np.float32))
    return [(folder / "b").read_bytes()]


def _state(folder: Path) -> list[bytes]:
    state = caffe_pb2.SolverState(iter=7, learned_net="w.caffemodel", current_step=2)
    for _ in range(3):
        blob = state.history.add()
        blob.shape.dim.extend([2, 3])
        blob.data.extend(range(6))
    return [state.SerializeToString()]


def _hdf5(folder: Path) -> list[bytes]:
    hdf5.write_weights(folder / "w.h5", [("a", [np.ones((3, 4)), np.ones(3)]), ("b/c", [np.ones(2)])])
    return [(folder / "w.h5").read_bytes()]


def _hdf5_state(folder: Path) -> list[bytes]:
    hdf5.write_solver_state(folder / "s.h5", 7, "w.caffemodel", 1, [np.ones((3, 4)), np.ones(3)])
    return [(folder / "s.h5").read_bytes()]


def _read_hdf5_data(path: Path) -> Any:
    from caffe.data.sources.hdf5 import Hdf5Batches

    batches = Hdf5Batches([str(path)], ["data"], 2)
    try:
        return [batches.load(batches.plan(), lambda shape: np.empty(shape, np.float32)) for _ in range(3)]
    finally:
        batches.close()


def _hdf5_data(folder: Path) -> list[bytes]:
    with h5py.File(folder / "d.h5", "w") as file:
        file["data"] = np.ones((5, 3, 2), np.float32)
        file.create_dataset("packed", data=np.ones((9, 8)), chunks=(3, 4), compression="gzip")
    return [(folder / "d.h5").read_bytes()]


def _trainstate(folder: Path) -> list[bytes]:
    worker = {
        "losses": [0.5, 1.5],
        "smoothed": 1.0,
        "window_start": 3,
        "torch_rng": "AAAA",
        "cursors": [{"d": {"i": 3}}],
    }
    state = {
        "version": 1,
        "iter": 7,
        "policy": {"minimum_loss": 0.5, "last_improved": 3},
        "workers": [worker],
    }
    return [json.dumps(state).encode()]


def _records() -> list[bytes]:
    pixels = datum.Datum(3, 4, 5, bytes(range(60)), label=3).serialize()
    floats = caffe_pb2.Datum(channels=2, height=1, width=2, float_data=[0.5] * 4, label=1).SerializeToString()
    return [pixels, floats]


def _database(backend: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        with create(str(folder / backend), backend) as out:
            for i in range(40):
                out.put(b"%08d" % i, _records()[i % 2] * (1 + 60 * (i == 7)))
        files = [
            p
            for p in (folder / backend).iterdir()
            if p.name in ("data.mdb",) or p.suffix in (".ldb", ".log", ".sst")
        ]
        return [p.read_bytes() for p in files if p.stat().st_size]

    return seeds


def _read_lmdb(path: Path) -> Any:
    file = LmdbFile(path)
    try:
        return sum(len(bytes(value)) for _, value in file.records(b""))
    finally:
        file.close()


def _read_leveldb(path: Path) -> Any:
    """A whole database, one of whose files is the case."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "db"
        with create(str(folder), "leveldb") as out:
            for i in range(40):
                out.put(b"%08d" % i, _records()[i % 2])
        data = path.read_bytes()
        files = sorted(p for p in folder.iterdir() if p.name != "LOCK")
        shutil.copy(path, files[len(data) % len(files)])
        return sum(len(value) for _, value in open_database(str(folder), "leveldb").items())


LAYER = """layer {{ name: "d" type: "Data" top: "x" top: "t" data_param {{ source: "{source}" backend: {backend}
  batch_size: 7 }} }}
"""


def _large_database(backend: str) -> Callable[[Path], list[bytes]]:
    """A database of several pages or blocks: its file of data."""

    def seeds(folder: Path) -> list[bytes]:
        _write_many(folder / backend, backend)
        return [
            max(
                (p.read_bytes() for p in (folder / backend).iterdir()),
                key=lambda data: len(data.rstrip(b"\0")),
            )
        ]

    return seeds


def _write_many(folder: Path, backend: str) -> None:
    pixels = datum.Datum(3, 4, 5, bytes(range(60)), label=3).serialize()
    with create(str(folder), backend) as out:
        for i in range(300):
            out.put(b"%08d" % i, pixels)


def _forward_of(backend: str) -> Callable[[Path], Any]:
    """Three batches of a net from a database, one of whose files is the case."""

    def read(path: Path) -> Any:
        import tempfile

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "db"
            _write_many(folder, backend)
            largest = max(
                (p for p in folder.iterdir() if p.name != "lock.mdb"),
                key=lambda p: len(p.read_bytes().rstrip(b"\0")),
            )
            largest.write_bytes(path.read_bytes())
            net = caffe.Net(
                prototxt.parse_net(LAYER.format(source=folder, backend=backend.upper())), caffe.TEST
            )
            try:
                return [net.forward() for _ in range(3)]
            finally:
                net.close()

    return read


def _archive(folder: Path) -> list[bytes]:
    import io
    import tarfile

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        files = {"job/deploy.prototxt": NET.encode(), "job/s_iter_3.caffemodel": b"", "labels.txt": b"a\nb\n"}
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    import gzip

    return [packed.getvalue(), gzip.decompress(packed.getvalue())]


def _read_archive(path: Path) -> Any:
    """As it is, and, where it is no gzip, as what one holds: most changes to compressed bytes hit the checksum only."""
    import gzip

    place = path.with_name(path.name + ".tar.gz")
    data = path.read_bytes()
    place.write_bytes(data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 1))
    try:
        return model_folder.read(place)
    finally:
        model_folder._unpacked.clear()
        place.unlink()


def _description(folder: Path) -> list[bytes]:
    how = {"mean": [1, 2, 3], "scale": 0.5, "channels": "RGB", "resize": [8, 9]}
    return [json.dumps({"format": 1, "preprocessing": how, "classes": ["a", "b"], "metrics": {}}).encode()]


def _read_description(path: Path) -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "deploy.prototxt").write_bytes(NET.encode())
        (folder / "weights.caffemodel").write_bytes(b"")
        (folder / "model.json").write_bytes(path.read_bytes())
        return model_folder.read(folder)


def _images(folder: Path) -> list[bytes]:
    image = np.arange(12 * 11 * 3, dtype=np.uint8).reshape(12, 11, 3)
    deep = image.astype(np.uint16) * 200
    return [cv2.imencode(f".{end}", image)[1].tobytes() for end in ("png", "jpg", "bmp", "webp", "tiff")] + [
        cv2.imencode(".png", deep)[1].tobytes()
    ]


def _idx(folder: Path) -> list[bytes]:
    return [bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(24)]


def _notebook(folder: Path) -> list[bytes]:
    lines = ["import caffe\n", "print 3"]
    code = {"cell_type": "code", "metadata": {}, "execution_count": 1, "outputs": [], "source": lines}
    text = {"cell_type": "markdown", "metadata": {}, "source": "# a"}
    about = {"kernelspec": {"name": "python2"}, "language_info": {"name": "python", "version": "2.7"}}
    new = {"nbformat": 4, "nbformat_minor": 0, "metadata": about, "cells": [code, text]}
    cell = {"cell_type": "code", "input": "x = 1", "language": "python", "outputs": [], "collapsed": False}
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {},
        "worksheets": [{"cells": [cell], "metadata": {}}],
    }
    return [json.dumps(new).encode(), json.dumps(old).encode()]


def _onnx(folder: Path) -> list[bytes]:
    import onnx
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 3, 3], [0.1] * 108)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 3, 6, 5]), ("y", [1, 120]))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), folder / "m.onnx")
    caffe.from_onnx(folder / "m.onnx", check=False)  # imports here what would take each process seconds
    return [(folder / "m.onnx").read_bytes()]


def _module() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())


def _safetensors(folder: Path) -> list[bytes]:
    from safetensors.torch import save

    return [save(dict(_module().state_dict()))]


def _load_into_module(ending: str) -> Callable[[Path], Any]:
    """As ``caffe convert module.py:function --weights=…`` reads them."""

    def read(path: Path) -> Any:
        place = path.with_name(path.name + ending)
        place.write_bytes(path.read_bytes())
        try:
            return sources.load_weights(_module(), str(place))
        finally:
            place.unlink()

    return read


def _state_dict(folder: Path) -> list[bytes]:
    torch.save(_module().state_dict(), folder / "m.pth")
    return [(folder / "m.pth").read_bytes()]


@cache
def _program() -> bytes:
    """What torch.export saves of a module whose batch and height may vary."""
    file = io.BytesIO()
    shapes = ({0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO},)
    torch.export.save(
        torch.export.export(_module().eval(), (torch.ones(2, 3, 6, 5),), dynamic_shapes=shapes), file
    )
    return file.getvalue()


def _graph_of_program(folder: Path) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(_program())) as archive:
        return [archive.read(name) for name in archive.namelist() if name.endswith("models/model.json")]


def _read_program(path: Path) -> Any:
    """As ``caffe convert`` reads it."""
    place = path.with_name(path.name + ".pt2")
    place.write_bytes(path.read_bytes())
    try:
        return sources.convert_source(str(place))
    finally:
        place.unlink()


def _read_graph_of_program(path: Path) -> Any:
    """In an archive whose checksums are right."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_program())) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, path.read_bytes() if name.endswith("models/model.json") else old.read(name))
    place = path.with_name(path.name + ".zip")
    place.write_bytes(changed.getvalue())
    try:
        return _read_program(place)
    finally:
        place.unlink()


SERVED = {"inputs": {"x": [3, 2]}, "outputs": {"y": [2]}, "batch": 4}


def _request(folder: Path) -> list[bytes]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3, 2]}
    whole = {"id": "a", "inputs": [tensor | {"data": [[[1, 2], [3, 4], [5, 6]]]}], "outputs": [{"name": "y"}]}
    behind = {"inputs": [tensor | {"parameters": {"binary_data_size": 24}}]}
    return [json.dumps(whole).encode(), json.dumps(behind).encode() + b"\n" + bytes(24)]


def _read_request(path: Path) -> Any:
    """With tensors behind the JSON where there is a line's end, as a client would say in the header."""
    body = path.read_bytes()
    return protocol.read(body, body.find(b"\n") + 1 or None, SERVED, "m")


FORM = {"content-type": "multipart/form-data; boundary=xyz"}


def _form(folder: Path) -> list[bytes]:
    image = cv2.imencode(".png", np.ones((5, 4, 3), np.uint8))[1].tobytes()
    head = b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    return [head + image + b"\r\n--xyz--\r\n"]


LOG = """I1125 20:19:03.999845  3348 solver.cpp:239] Iteration 0 (0 iter/s, 0.5s/100 iters), loss = 2.3
I1125 20:19:03.999845  3348 solver.cpp:258]     Train net output #0: loss = 2.3 (* 1 = 2.3 loss)
I1125 20:19:04.099845  3348 sgd_solver.cpp:112] Iteration 0, lr = 0.01
I1125 20:19:05.099845  3348 solver.cpp:347] Iteration 10, Testing net (#0)
I1125 20:19:05.199845  3348 solver.cpp:414]     Test net output #0: accuracy = 0.9
"""
ROWS = """{"run": "a", "kind": "train", "iter": 1, "seconds": 0.5, "lr": 0.01, "loss": 2.5, "outputs": {"loss": [2.5]}}
{"run": "a", "kind": "test", "net": 0, "iter": 2, "seconds": 0.9, "lr": 0.01, "outputs": {"accuracy": [0.5, 0.25]}}
"""
LISTS = ("a.jpg 1\nb c.jpg 2\n", "\ufeffa.jpg 0.5\r\n\r\nb.jpg 7\r\n")
WINDOWS = "# 0\na.jpg\n3\n375\n500\n2\n12 0.87 10 20 200 210\n0 0.12 50 60 90 99\n"

FORMATS = [
    Format("prototxt", "text", _of_text(NET, OLD_NET), prototxt.read_net),
    Format("net", "text", _of_text(NET, OLD_NET), _built),
    Format("solver", "text", _of_text(SOLVER), prototxt.read_solver),
    Format("caffemodel", "wire", _weights, binaryproto.read_weights),
    Format("binaryproto", "wire", _blob, binaryproto.read_blob),
    Format("solverstate", "wire", _state, binaryproto.read_solver_state),
    Format("hdf5 weights", "bytes", _hdf5, hdf5.read_weights),
    Format("hdf5 state", "bytes", _hdf5_state, hdf5.read_solver_state),
    Format("hdf5 data", "bytes", _hdf5_data, _read_hdf5_data),
    Format("trainstate", "json", _trainstate, lambda path: snapshot.read_extra(str(path) + ".solverstate")),
    Format("datum", "wire", lambda folder: _records(), lambda path: datum.parse(path.read_bytes()).pixels()),
    Format("lmdb", "bytes", _database("lmdb"), _read_lmdb),
    Format("image", "bytes", _images, lambda path: decode(path.read_bytes(), True)),
    Format(
        "list",
        "text",
        _of_text("a.jpg 1\nb c.jpg 2\n", "\ufeffa.jpg 0.5\r\n\r\nb.jpg 7\r\n"),
        lambda p: read_list(str(p)),
    ),
    Format("windows", "text", _of_text(WINDOWS), lambda path: read_windows(str(path))),
    Format("log", "text", _of_text(LOG), training_log.read),
    Format("metrics", "json", _of_text(ROWS), metrics.read),
    Format("metrics as a log", "json", _of_text(ROWS), training_log.read),
    Format("lmdb layer", "bytes", _large_database("lmdb"), _forward_of("lmdb")),
    Format("model archive", "bytes", _archive, _read_archive),
    Format("model.json", "json", _description, _read_description),
    Format("pt2", "bytes", lambda folder: [_program()], _read_program),
    Format("pt2 graph", "json", _graph_of_program, _read_graph_of_program),
    Format("state_dict", "bytes", _state_dict, _load_into_module(".pth")),
    Format("request", "json", _request, _read_request),
    Format("served image", "bytes", _images, lambda path: served_images.decode(path.read_bytes(), 10**6)),
    Format("idx", "bytes", _idx, lambda path: idx.read_idx(path, 3)),
]
try:
    import plyvel  # noqa: F401
except ImportError:
    print("leveldb is left out: the package 'plyvel' is not installed", file=sys.stderr)
else:
    FORMATS.append(Format("leveldb", "bytes", _database("leveldb"), _read_leveldb))
    FORMATS.append(Format("leveldb layer", "bytes", _large_database("leveldb"), _forward_of("leveldb")))


def _add(package: str, form: Format) -> None:
    if find_spec(package) is None:
        print(f"{form.name} is left out: the package '{package}' is not installed", file=sys.stderr)
    else:
        FORMATS.append(form)


_add("nbformat", Format("notebook", "json", _notebook, notebooks.translations))
_add("onnx", Format("onnx", "wire", _onnx, lambda path: caffe.from_onnx(path, check=False)))
_add("safetensors", Format("safetensors", "bytes", _safetensors, _load_into_module(".safetensors")))
_add("python_multipart", Format("form", "bytes", _form, lambda path: app.from_form(path.read_bytes(), FORM)))
