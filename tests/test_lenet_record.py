"""Training on MNIST against the original's record, iteration by iteration, from its initial weights."""

from __future__ import annotations

import numpy as np
import pytest
from support_assets import assets

import caffe
from caffe.cli.convert_mnist_data import main as convert


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mnist")
    for part, name in (("train", "train"), ("t10k", "test")):
        files = [str(assets("mnist", f"{part}-{k}-ubyte.gz")) for k in ("images-idx3", "labels-idx1")]
        assert convert([*files, str(path / f"mnist_{name}_lmdb")]) == 0
    return path


def train(folder, monkeypatch, run, iterations, tests=True):
    """(|Δloss| per iteration, accuracy, recorded accuracy, |Δscore| per iteration, solver after step 1's views)."""
    record = np.load(assets("reference", "golden", "lenet", f"{run}.npz"))
    monkeypatch.chdir(folder)
    for name in ("train", "test", "solver"):
        (folder / f"{name}.prototxt").write_text(str(record[name]))
    solver = caffe.get_solver("solver.prototxt")
    solver.net.copy_from(assets("reference", "golden", "lenet", f"{run}_init.caffemodel"))
    net = solver.test_nets[0]
    net.forward()
    start = list(net.layer_dict)[1]
    losses, accuracy, scores = [], [], []
    for it in range(iterations):
        solver.step(1)
        losses.append(abs(float(solver.net.blobs["loss"].data) - record["loss"][it]))
        if it == 0:
            assert list(solver.net.blobs["label"].data[:8]) == list(record["first_train_labels"])
            if "conv1" in solver.net.params:
                expected = record["conv1_diff"]
                found = solver.net.params["conv1"][0].diff
                # Adam divides tiny gradients by their own size: looser there
                limit = 1e-3 if "adam" in run else 1e-4
                assert np.abs(found - expected).max() <= limit * np.abs(expected).max()
        net.forward(start=start)
        scores.append(np.abs(net.blobs["score"].data[:8] - record["score"][it]).max())
        if tests and it % 25 == 0:
            right = 0
            for _ in range(100):
                net.forward()
                right += int((net.blobs["score"].data.argmax(1) == net.blobs["label"].data).sum())
            accuracy.append(right / 1e4)
    return np.array(losses), np.array(accuracy), record["accuracy"][: len(accuracy)], np.array(scores)


def test_a_linear_net_follows_the_record(folder, monkeypatch):
    losses, accuracy, recorded, scores = train(folder, monkeypatch, "linear_sgd", 250)
    assert losses.max() <= 2e-3
    assert np.abs(accuracy - recorded).max() <= 0.003
    assert scores.max() <= 1e-2


def test_lenet_with_sgd_learns_as_recorded(folder, monkeypatch):
    """The default kernels: to rounding at first; later, max pooling's ties let rounding grow."""
    losses, accuracy, recorded, scores = train(folder, monkeypatch, "lenet_sgd", 200)
    assert losses[:10].max() <= 1e-5
    assert scores[:7].max() <= 1e-5
    assert np.abs(accuracy - recorded).max() <= 0.003


def test_lenet_with_adam_follows_the_record(folder, monkeypatch):
    losses, _, _, _ = train(folder, monkeypatch, "lenet_adam", 100, tests=False)
    assert losses.max() <= 5e-3
