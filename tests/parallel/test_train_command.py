"""``caffe train --procs=2``: LeNet as one process, its log, its files, resuming, and wrong use."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from support_data import raw_records, write_records
from support_parallel import Processes, weights, worst, write_database, write_solver

import caffe
from caffe.cli import train as train_command

LENET = """
name: "LeNet"
layer {{ name: "mnist" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ scale: 0.00390625 }} data_param {{ source: "{folder}/mnist" batch_size: {batch} backend: LMDB }} }}
layer {{ name: "mnist" type: "Data" top: "data" top: "label" include {{ phase: TEST }}
  transform_param {{ scale: 0.00390625 }} data_param {{ source: "{folder}/mnist" batch_size: 50 backend: LMDB }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param {{ lr_mult: 1 }} param {{ lr_mult: 2 }}
  convolution_param {{ num_output: 20 kernel_size: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param {{ pool: AVE kernel_size: 2 stride: 2 }} }}
layer {{ name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" param {{ lr_mult: 1 }} param {{ lr_mult: 2 }}
  convolution_param {{ num_output: 50 kernel_size: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param {{ pool: AVE kernel_size: 2 stride: 2 }} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" param {{ lr_mult: 1 }} param {{ lr_mult: 2 }}
  inner_product_param {{ num_output: 500 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "tanh1" type: "TanH" bottom: "ip1" top: "ip1" }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" param {{ lr_mult: 1 }} param {{ lr_mult: 2 }}
  inner_product_param {{ num_output: 10 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""

"""With averages and TanH, as LeNet-5 had: at maxima and kinks rounding can decide which way a gradient goes."""


def write_lenet(folder: Path, name: str, batch: int) -> Path:
    (folder / f"{name}_net.prototxt").write_text(LENET.format(folder=folder, batch=batch))
    path = folder / f"{name}.prototxt"
    path.write_text(
        f'net: "{folder}/{name}_net.prototxt" test_iter: 2 test_interval: 25 base_lr: 0.01 momentum: 0.9'
        ' weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001 power: 0.75 display: 1 max_iter: 50 random_seed: 1'
        f' snapshot: 25 snapshot_prefix: "{folder / name}"'
    )
    return path


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    """(folder, output) of LeNet trained by two workers."""
    folder = tmp_path_factory.mktemp("lenet")
    digits = pytest.importorskip("sklearn.datasets", reason="needs the extra demo").load_digits()
    order = np.random.RandomState(0).permutation(len(digits.target))[:1600]  # they are sorted by writer
    pixels = np.zeros((len(order), 1, 28, 28), np.uint8)
    pixels[:, 0, 2:26, 2:26] = (digits.images[order] * (255 / 16)).astype(np.uint8).repeat(3, 1).repeat(3, 2)
    write_records(folder / "mnist", raw_records(pixels, digits.target[order]))
    solver = write_lenet(folder, "two", 16)
    with Processes() as processes:
        run = processes.start(sys.executable, "-m", "caffe", "train", f"--solver={solver}", "--procs=2")
        output = run.communicate(timeout=200)[0]
    assert run.returncode == 0, output
    return folder, output


def test_lenet_trains_as_one_process(lenet):
    folder, _ = lenet
    solver = caffe.get_solver(str(write_lenet(folder, "one", 32)))
    losses = []
    for _ in range(50):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    rows = [json.loads(row) for row in (folder / "two_metrics.jsonl").read_text().splitlines()]
    found = [row["loss"] for row in rows if row["kind"] == "train" and row["iter"] < 50]  # one comes after
    assert losses[-1] < 0.5 * losses[0]
    assert np.abs(np.array(found) - losses).max() <= 1e-5
    net = caffe.Net(str(folder / "two_net.prototxt"), str(folder / "two_iter_50.caffemodel"), caffe.TRAIN)
    assert worst(weights(net), weights(solver.net)) <= 1e-5


def test_the_root_logs_tests_and_snapshots_as_the_original(lenet):
    folder, output = lenet
    for line, times in [
        (r"solver\.py:\d+\] Iteration 25, Testing net \(#0\)", 1),
        (r"    Test net output #0: accuracy = ", 3),
        (r"Iteration \d+ \([\d.e+]+ iter/s, [\d.e+-]+s/1 iters\), loss = ", 50),
        (r"Iteration \d+, lr = 0\.0", 50),
        (r"Snapshotting to binary proto file ", 2),
        (r"Optimization Done\.", 2),
        (r"Training with 2 workers over gloo", 1),
    ]:
        assert len(re.findall(line, output)) == times, (line, output)
    assert {p.name for p in folder.glob("two_iter_*")} == {
        f"two_iter_{n}.{ending}" for n in (25, 50) for ending in ("caffemodel", "solverstate", "trainstate")
    }


def train(*arguments: object) -> tuple[int, str]:
    with Processes() as processes:
        run = processes.start(sys.executable, "-m", "caffe", "train", *arguments)
        output = run.communicate(timeout=120)[0]
        return run.returncode, output


DROPOUT = """
layer { name: "drop" type: "Dropout" bottom: "same2" top: "same2" dropout_param { dropout_ratio: 0.3 } }
"""


def test_resuming_is_exact_for_every_worker(tmp_path):
    """With Dropout, whose random numbers each worker has its own of, and momentum."""
    write_database(tmp_path)
    settings = "type: 'Adam' base_lr: 0.002 momentum: 0.9 momentum2: 0.99 snapshot: 10 average_loss: 4"
    solver = write_solver(tmp_path, "d", 5, settings, iters=20, more=DROPOUT)
    code, output = train(f"--solver={solver}", "--procs=2", "--noprogress")
    assert code == 0, output
    first = (tmp_path / "d_iter_20.caffemodel").read_bytes()
    losses = re.findall(r"Iteration 1\d .*loss = ([\d.]+)", output)
    for path in tmp_path.glob("d_iter_20.*"):
        path.unlink()
    code, output = train(f"--solver={solver}", "--procs=2", "--resume=auto")
    assert code == 0, output
    assert "Resuming from" in output and "d_iter_10.solverstate" in output
    assert (tmp_path / "d_iter_20.caffemodel").read_bytes() == first
    assert re.findall(r"Iteration 1\d .*loss = ([\d.]+)", output) == losses and len(losses) == 10
    # a single process goes on from it too, saying what it does with the data
    code, output = train(f"--solver={solver}", f"--snapshot={tmp_path}/d_iter_10.solverstate")
    assert code == 0, output
    assert "was written by 2 workers, now there are 1" in output


def test_wrong_use(tmp_path, capsys, monkeypatch):
    write_database(tmp_path)
    solver = write_solver(tmp_path, "s", 5, "base_lr: 0.1")
    assert train_command.main([f"--solver={solver}", "--procs=0"]) == 2
    assert "must be at least 1; got 0" in capsys.readouterr().err
    assert train_command.main([f"--solver={solver}", "--procs=2", "--gpu=0"]) == 2
    assert "not both" in capsys.readouterr().err
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "2"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    assert train_command.main([f"--solver={solver}"]) == 1
    assert "RANK must be in 0 to WORLD_SIZE - 1; got RANK=2" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "one")
    assert train_command.main([f"--solver={solver}"]) == 1
    assert "must be numbers" in capsys.readouterr().err


def test_each_worker_of_a_host_takes_its_own_device():
    from caffe.parallel.place import Place
    from caffe.parallel.training import device_of

    assert device_of(Place(5, 8, 1, "env://"), [2, 3]) == 3
    with pytest.raises(caffe.errors.DistributedError, match=r"Worker 6 is number 2 .* only 2"):
        device_of(Place(6, 8, 2, "env://"), [2, 3])


def test_places():
    from caffe.parallel.place import Place, from_environment

    torchrun = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
    assert from_environment(torchrun) == Place(1, 4, 1, "env://")
    assert from_environment({}) is None
    assert from_environment({"RANK": "1", "WORLD_SIZE": "4"}) is None  # some other program's variables
    assert from_environment(torchrun | {"RANK": "0", "WORLD_SIZE": "1"}) is None  # nobody to train with
