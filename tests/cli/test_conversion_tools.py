"""The conversion tools make the databases and means that the original's made."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support_assets import GOLDEN, assets
from support_data import jpeg, noise, raw_records, smooth, write_records

from caffe.cli.compute_image_mean import main as compute_image_mean
from caffe.cli.convert_cifar_data import main as convert_cifar_data
from caffe.cli.convert_imageset import main as convert_imageset
from caffe.cli.convert_mnist_data import main as convert_mnist_data
from caffe.cli.convert_mnist_siamese_data import main as convert_mnist_siamese_data
from caffe.cli.resize_and_crop_images import main as resize_and_crop_images
from caffe.data.sources.database import open_database
from caffe.formats.datum import Datum, parse
from caffe.proto import caffe_pb2


@pytest.fixture(autouse=True)
def printing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")


@pytest.fixture
def formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(GOLDEN / "formats", tmp_path / "formats")
    monkeypatch.chdir(tmp_path / "formats")
    return tmp_path / "formats"


def records(path: str | Path) -> list[tuple[str, Datum]]:
    database = open_database(path)
    found = [(bytes(key).decode(), parse(bytes(value))) for key, value in database.items()]
    database.close()
    return found


def pixels(datum: Datum) -> Any:
    if datum.encoded:
        return cv2.imdecode(np.frombuffer(datum.data, np.uint8), cv2.IMREAD_UNCHANGED)
    return datum.pixels()


SIZE = ["--resize_width=24", "--resize_height=32"]


@pytest.mark.parametrize(
    ("recorded", "flags"),
    [
        ("lmdb_resized", SIZE),
        ("leveldb_gray", ["-gray", "-backend", "leveldb", "--check_size", *SIZE]),
        ("lmdb_encoded", ["--encoded=true"]),
        ("leveldb_png", ["--encoded", "--encode_type=png", "--backend=leveldb", *SIZE]),
    ],
)
def test_convert_imageset(formats: Path, recorded: str, flags: list[str]) -> None:
    assert convert_imageset([*flags, "images/", "list.txt", "ours"]) == 0
    wanted, found = records(recorded), records("ours")
    assert [key for key, _ in found] == [key for key, _ in wanted]
    for (key, theirs), (_, ours) in zip(wanted, found):
        assert (ours.shape, ours.label, ours.encoded) == (theirs.shape, theirs.label, theirs.encoded)
        if recorded == "lmdb_encoded":
            assert bytes(ours.data) == bytes(theirs.data)
        difference = np.abs(pixels(ours).astype(int) - pixels(theirs))
        assert difference.max() <= 1, (
            f"{key}: {np.count_nonzero(difference)} of {difference.size} pixels differ"
        )


@pytest.mark.parametrize("backend", [[], ["--backend=lmdb"]])
def test_compute_image_mean(formats: Path, backend: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compute_image_mean([*backend, "lmdb_resized", "ours.binaryproto"]) == 0
    theirs, ours = (
        caffe_pb2.BlobProto.FromString((formats / name).read_bytes())
        for name in ("mean.binaryproto", "ours.binaryproto")
    )
    assert (ours.num, ours.channels, ours.height, ours.width) == (1, 3, 32, 24)
    assert np.abs(np.array(ours.data) - np.array(theirs.data)).max() <= 1e-4
    printed = capsys.readouterr().err
    assert "Number of channels: 3" in printed and "mean_value channel [2]:" in printed


@pytest.mark.leveldb
def test_mean_of_encoded_and_of_floats(formats: Path, tmp_path: Path) -> None:
    assert compute_image_mean(["leveldb_png", "mean"]) == 0
    found = np.array(caffe_pb2.BlobProto.FromString((formats / "mean").read_bytes()).data)
    wanted = np.mean([pixels(d).transpose(2, 0, 1) for _, d in records("leveldb_png")], axis=0)
    assert np.allclose(found, wanted.ravel(), atol=1e-4)
    values = [np.array([i, 0.5, -i, 2], np.float32) for i in range(3)]
    path = write_records(tmp_path / "floats", [Datum(1, 2, 2, floats=v, label=0) for v in values])
    assert compute_image_mean([path, "mean"]) == 0
    assert list(caffe_pb2.BlobProto.FromString((formats / "mean").read_bytes()).data) == [1, 0.5, -1, 2]


def test_mean_of_differing_sizes_is_an_error(formats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compute_image_mean(["lmdb_encoded", "ours"]) == 1
    assert "'00000001_scene2.jpg'" in capsys.readouterr().err
    assert not (formats / "ours").exists()


def test_shuffle_is_a_permutation_by_seed(formats: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert convert_imageset(["--shuffle", f"--seed={seed}", "images/", "list.txt", name]) == 0
    keys = {name: [key for key, _ in records(name)] for name in "abc"}
    assert keys["a"] == keys["b"] != keys["c"]
    assert sorted(k[9:] for k in keys["a"]) == sorted(k[9:] for k in keys["c"])
    assert [k[:8] for k in keys["a"]] == [f"{i:08d}" for i in range(6)]


def test_several_labels(formats: Path) -> None:
    (formats / "labels.txt").write_text("synth0.png 1 2.5\nsynth1.png -1 0\n")
    assert convert_imageset(["--labels=2", "images/", "labels.txt", "ours"]) == 0
    assert [d.labels.tolist() for _, d in records("ours")] == [[1, 2.5], [-1, 0]]


def test_what_cannot_be_converted(formats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (formats / "list.txt").write_text("scene.jpg 3\nnowhere.jpg 7\nscene2.jpg 1\n")
    (formats / "images" / "scene2.jpg").write_bytes((formats / "images" / "scene2.jpg").read_bytes()[:900])
    before = sorted(os.listdir(formats))
    assert convert_imageset(["images/", "list.txt", "ours"]) == 1
    assert "images/nowhere.jpg: the image does not exist" in capsys.readouterr().err
    assert sorted(os.listdir(formats)) == before
    assert convert_imageset(["--skip_damaged", "images/", "list.txt", "ours"]) == 0
    assert [key for key, _ in records("ours")] == ["00000000_scene.jpg"]
    assert "Skipped 2 images" in capsys.readouterr().err
    assert convert_imageset(["images/", "list.txt", "ours"]) == 1
    assert "exists already" in capsys.readouterr().err
    (formats / "list.txt").write_text("")
    assert convert_imageset(["images/", "list.txt", "other"]) == 1
    assert "at least one image" in capsys.readouterr().err
    assert convert_imageset(["--resize_width=3", "images/", "list.txt", "other"]) == 2
    (formats / "list.txt").write_text("scene.jpg 3\nsynth0.png 1\n")
    assert convert_imageset(["--check_size", "images/", "list.txt", "other"]) == 1
    assert "must hold 57600 values as the first; got" in capsys.readouterr().err
    assert convert_imageset(["--encoded", "--encode_type=xyz", "images/", "list.txt", "other"]) == 1
    assert "image format" in capsys.readouterr().err
    assert not (formats / "other").exists()


def test_an_interrupted_conversion_is_resumed(formats: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import caffe.cli.convert_imageset as module

    serialize = module.entry_key

    def stop_at_3(number: int, entry: Any) -> bytes:
        if number == 3:
            raise KeyboardInterrupt
        return serialize(number, entry)

    monkeypatch.setattr(module, "entry_key", stop_at_3)
    assert convert_imageset([*SIZE, "images/", "list.txt", "ours"]) == 130
    assert not (formats / "ours").exists()
    started: list[int] = []
    monkeypatch.setattr(module, "entry_key", lambda n, e: (started.append(n), serialize(n, e))[1])
    assert convert_imageset([*SIZE, "--resume", "images/", "list.txt", "ours"]) == 0
    assert started == [3, 4, 5]
    assert [(k, bytes(d.data)) for k, d in records("ours")] == [
        (k, bytes(d.data)) for k, d in records("lmdb_resized")
    ]
    assert sorted(p for p in os.listdir(formats) if p.startswith(".")) == []


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_a_conversion_that_skips_is_resumed_behind_its_last_record(
    formats: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    import caffe.cli.convert_imageset as module

    (formats / "images" / "broken.png").write_bytes(b"no image")
    lines = (formats / "list.txt").read_text().splitlines()
    (formats / "with.txt").write_text("\n".join([lines[0], "broken.png 0", *lines[1:]]) + "\n")
    flags = [*SIZE, "--skip_damaged", f"--backend={backend}", "images/", "with.txt", "ours"]
    key = module.entry_key

    def stop_at_4(number: int, entry: Any) -> bytes:
        if number == 4:
            raise KeyboardInterrupt
        return key(number, entry)

    monkeypatch.setattr(module, "entry_key", stop_at_4)
    assert convert_imageset(flags) == 130
    started: list[int] = []
    monkeypatch.setattr(module, "entry_key", lambda n, e: (started.append(n), key(n, e))[1])
    assert convert_imageset(["--resume", *flags]) == 0
    assert started == [4, 5, 6]
    assert [k[:8] for k, _ in records("ours")] == [f"{i:08d}" for i in (0, 2, 3, 4, 5, 6)]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_mean_is_resumed_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    import caffe.cli.compute_image_mean as module

    images = np.random.default_rng(2).integers(0, 256, (50, 3, 4, 5), np.uint8)
    database = write_records(tmp_path / "db", raw_records(images))
    monkeypatch.setattr(module, "_AT_ONCE", 4)
    monkeypatch.setattr(module, "_NOTED_EVERY", 8)
    add = module._sum
    added: list[int] = []

    def stop(chunk: Any) -> Any:
        if chunk.records[0][0] == b"00000028":
            raise KeyboardInterrupt
        return add(chunk)

    flags = [f"--threads={threads}", database, str(tmp_path / "mean.binaryproto")]
    monkeypatch.setattr(module, "_sum", stop)
    assert compute_image_mean(flags) == 130
    assert not (tmp_path / "mean.binaryproto").exists()
    monkeypatch.setattr(module, "_sum", lambda chunk: (added.append(len(chunk.records)), add(chunk))[1])
    assert compute_image_mean(["--resume", *flags]) == 0
    assert sum(added) == 50 - 24
    blob = caffe_pb2.BlobProto.FromString((tmp_path / "mean.binaryproto").read_bytes())
    np.testing.assert_array_equal(
        np.float32(blob.data).reshape(3, 4, 5), images.mean(axis=0).astype(np.float32)
    )
    assert sorted(os.listdir(tmp_path)) == ["db", "mean.binaryproto"]


def _idx(path: Path, array: Any, zipped: bool) -> str:
    raw = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    return str(path)


@pytest.mark.parametrize("zipped", [False, True])
def test_convert_mnist_data(tmp_path: Path, zipped: bool) -> None:
    images, labels = noise(5, 4, 3), np.arange(5, dtype=np.uint8)
    args = [_idx(tmp_path / "i", images, zipped), _idx(tmp_path / "l", labels, zipped), str(tmp_path / "db")]
    assert convert_mnist_data(args) == 0
    found = records(tmp_path / "db")
    assert [key for key, _ in found] == [f"{i:08d}" for i in range(5)]
    for i, (_, datum) in enumerate(found):
        assert (datum.shape, datum.label, datum.encoded) == ((1, 4, 3), i, None)
        assert np.array_equal(datum.pixels()[0], images[i])
    siamese = [*args[:2], str(tmp_path / "pairs"), "--backend=lmdb", "--seed=1"]
    assert convert_mnist_siamese_data(siamese) == 0
    same = 0
    for _, datum in records(tmp_path / "pairs"):
        one, other = (int(np.flatnonzero((images == p).all(axis=(1, 2)))[0]) for p in datum.pixels())
        assert datum.shape == (2, 4, 3) and datum.label == int(labels[one] == labels[other])
        same += one == other
    assert same < 5


def test_convert_mnist_data_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = _idx(tmp_path / "i", noise(5, 4, 3), True)
    labels = _idx(tmp_path / "l", np.arange(5, dtype=np.uint8), True)
    fewer = _idx(tmp_path / "f", np.arange(4, dtype=np.uint8), False)
    short = tmp_path / "short"
    short.write_bytes(gzip.decompress(Path(images).read_bytes())[:-1])
    broken = tmp_path / "broken"
    broken.write_bytes(Path(images).read_bytes()[:40])
    for given, message in [
        ((labels, images), "magic number 2051"),
        ((images, fewer), "5 images and 4 labels"),
        ((str(short), labels), "must hold 60 values after its header; got 59"),
        ((str(broken), labels), "damaged gzip"),
        ((str(tmp_path / "x"), labels), "does not exist"),
    ]:
        assert convert_mnist_data([*given, str(tmp_path / "db")]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "db").exists()


def test_real_mnist(tmp_path: Path) -> None:
    folder = assets("mnist")
    names = [str(folder / f"t10k-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
    assert convert_mnist_data([*names, str(tmp_path / "db")]) == 0
    found = records(tmp_path / "db")
    assert len(found) == 10000 and [d.label for _, d in found[:8]] == [7, 2, 1, 0, 4, 1, 4, 9]


def test_convert_cifar_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = {f"data_batch_{i}.bin": noise(2, 3073, seed=i) for i in range(1, 6)}
    batches["test_batch.bin"] = noise(3, 3073, seed=9)
    for name, batch in batches.items():
        (tmp_path / name).write_bytes(batch.tobytes())
    assert convert_cifar_data([str(tmp_path), str(tmp_path), "lmdb"]) == 0
    train, test = records(tmp_path / "cifar10_train_lmdb"), records(tmp_path / "cifar10_test_lmdb")
    assert [key for key, _ in train] == [f"{i:05d}" for i in range(10)]
    assert np.array_equal(train[3][1].pixels().ravel(), batches["data_batch_2.bin"][1, 1:])
    assert [d.label for _, d in test] == batches["test_batch.bin"][:, 0].tolist()
    (tmp_path / "test_batch.bin").write_bytes(b"x" * 3000)
    assert convert_cifar_data([str(tmp_path), str(tmp_path), "lmdb", "--overwrite"]) == 1
    assert "records of 3073 bytes" in capsys.readouterr().err
    assert convert_cifar_data([str(tmp_path / "no"), str(tmp_path), "lmdb"]) == 1


def test_resize_and_crop_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "n01").mkdir(parents=True)
    wide, tall = smooth(20, 31), smooth(27, 18)
    (source / "n01" / "wide.png").write_bytes(jpeg(wide, ".png"))
    (source / "tall.png").write_bytes(jpeg(tall, ".png"))
    flags = [f"--input_folder={source}", f"--output_folder={target}", "--output_side_length=12"]
    assert resize_and_crop_images(flags) == 0
    found = cv2.imread(str(target / "n01" / "wide.png"))
    assert np.array_equal(found, cv2.resize(wide, (18, 12))[:, 3:15])
    assert np.array_equal(cv2.imread(str(target / "tall.png")), cv2.resize(tall, (12, 18))[3:15])
    (target / "tall.png").unlink()
    assert resize_and_crop_images([*flags, "--resume"]) == 0
    assert (target / "tall.png").exists()
    assert "Wrote 1 images" in capsys.readouterr().err
    (source / "bad.jpg").write_bytes(b"nothing")
    assert resize_and_crop_images(flags) == 1
    assert "bad.jpg" in capsys.readouterr().err
    assert resize_and_crop_images([*flags, "--skip_damaged"]) == 0
    assert (
        resize_and_crop_images(["--input_folder", str(tmp_path / "x"), "--output_folder", str(target)]) == 1
    )


def test_tools_start_without_torch(tmp_path: Path) -> None:
    tools = [
        "convert_imageset",
        "compute_image_mean",
        "convert_mnist_data",
        "convert_cifar_data",
        "convert_mnist_siamese_data",
        "resize_and_crop_images",
        "extract_features",
        "download",
        "db",
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {tools}:\n"
        "    assert importlib.import_module('caffe.cli.' + name).main(['--help']) == 0\n"
        "assert 'torch' not in sys.modules and 'cv2' not in sys.modules, sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
