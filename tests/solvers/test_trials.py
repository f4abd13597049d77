"""Averaged weights, mixed batches, trials before a training, and what is kept of one that diverged."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import caffe
from caffe.cli import train
from caffe.data.mixing import Mixing
from caffe.errors import DataError, InputError, SolverError
from caffe.formats import binaryproto
from caffe.solvers.averaging import Averaging

NET = """
layer {{ name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param {{ source: "list.txt" batch_size: 4 shuffle: {shuffle} }} transform_param {{ scale: {scale} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
"""
SOLVER = """
net: "net.prototxt" base_lr: {rate} lr_policy: "fixed" momentum: 0.9 max_iter: 8 display: 1 snapshot: 4
solver_mode: CPU test_iter: 2 test_interval: 4 snapshot_prefix: "run" random_seed: 3
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    lines = []
    for i in range(12):
        cv2.imwrite(f"{i}.png", rng.integers(0, 255, (5, 6, 3), np.uint8))
        lines.append(f"{i}.png {i % 3}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    write(tmp_path)
    return tmp_path


def write(place, rate=0.05, scale=0.01, shuffle="true"):
    (place / "net.prototxt").write_text(NET.format(scale=scale, shuffle=shuffle))
    (place / "solver.prototxt").write_text(SOLVER.format(rate=rate))


def values(path):
    return np.concatenate(
        [blob.ravel() for layer in binaryproto.read_weights(path).layers for blob in layer.blobs]
    )


def test_the_average_is_that_of_the_weights(place):
    solver = caffe.get_solver("solver.prototxt")
    weight = solver.net.params["ip"][0]
    expected = weight.data.copy()
    seen = []

    class Follow(caffe.solvers.callbacks.Callback):
        def on_iteration(self, solver, loss):
            nonlocal expected
            decay = min(0.5, (1 + solver.iter) / (10 + solver.iter))
            expected = decay * expected + (1 - decay) * weight.data

        def on_test(self, solver, net_id, iteration, outputs):
            seen.append(
                (weight.data.copy(), solver.test_nets[0].params["ip"][0].data.copy(), expected.copy())
            )

    before = weight.data.copy()
    solver.solve(callbacks=[Averaging(0.5), Follow()])
    for tested, shared, wanted in seen:
        np.testing.assert_array_equal(tested, shared)
        np.testing.assert_allclose(tested, wanted, rtol=1e-5, atol=1e-7)
    kept = caffe.Net("net.prototxt", caffe.TEST, weights="run_iter_8.ema.caffemodel").params["ip"][0].data
    np.testing.assert_allclose(kept, expected, rtol=1e-5, atol=1e-7)
    plain = caffe.Net("net.prototxt", caffe.TEST, weights="run_iter_8.caffemodel").params["ip"][0].data
    np.testing.assert_array_equal(plain, weight.data)
    assert not np.allclose(plain, kept) and not np.allclose(before, kept)


def test_averaging_leaves_training_as_it_is_and_resumes_exactly(place):
    assert train.main(["--solver=solver.prototxt", "--nometrics"]) == 0
    plain = values("run_iter_8.caffemodel")
    assert train.main(["--solver=solver.prototxt", "--nometrics", "--ema=0.9", "--keep=2"]) == 0
    np.testing.assert_array_equal(values("run_iter_8.caffemodel"), plain)
    average = values("run_iter_8.ema.caffemodel")
    for path in place.glob("run_iter_8*"):
        path.unlink()
    assert train.main(["--solver=solver.prototxt", "--nometrics", "--ema=0.9", "--resume=auto"]) == 0
    np.testing.assert_array_equal(values("run_iter_8.ema.caffemodel"), average)


def test_old_averages_go_with_their_snapshots(place):
    assert train.main(["--solver=solver.prototxt", "--nometrics", "--ema=0.9", "--keep=1"]) == 0
    assert sorted(path.name for path in place.glob("run_iter_*")) == [
        "run_iter_8.caffemodel",
        "run_iter_8.ema.caffemodel",
        "run_iter_8.solverstate",
        "run_iter_8.trainstate",
    ]


def test_mixup_mixes_images_and_draws_labels():
    caffe.set_random_seed(4)
    count = 4000
    images = torch.arange(count, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(count, 1, 2, 3).contiguous()
    labels = torch.arange(count, dtype=torch.float32)
    kept = images.clone()
    mixed, drawn = Mixing(mixup=1.0)([images, labels])
    torch.testing.assert_close(images, kept)
    other = (mixed[:, 0, 0, 0] - labels)[drawn != labels]
    share = (other / (drawn - labels)[drawn != labels]).median()  # of the other image
    assert 0.02 < share < 0.98
    assert abs(float((drawn != labels).float().mean()) - float(share)) < 0.03


def test_cutmix_puts_a_rectangle_in():
    caffe.set_random_seed(4)
    images = torch.arange(8.0).reshape(-1, 1, 1, 1).expand(8, 2, 9, 11).contiguous()
    marks = torch.eye(8)
    mixed, shares = Mixing(cutmix=1.0)([images, marks])
    own = (mixed == images).float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(shares.diagonal(), own)
    torch.testing.assert_close(shares.sum(1), torch.ones(8))
    changed = (mixed != images)[own < 1][0, 0]
    rows, columns = changed.any(1).sum(), changed.any(0).sum()
    assert changed.sum() == rows * columns > 0


def test_what_cannot_be_mixed_is_refused(place):
    with pytest.raises(InputError, match="one above it"):
        Mixing(0.0, 0.0)
    with pytest.raises(DataError, match="Only images with labels"):
        Mixing(0.2)([torch.zeros(3, 4, 5, 6)])


@pytest.mark.parametrize("flags", [["--mixup=0.2"], ["--cutmix=1"], ["--mixup=0.2", "--cutmix=1"]])
def test_a_run_that_mixes_can_be_resumed(place, flags):
    assert train.main(["--solver=solver.prototxt", "--nometrics", *flags]) == 0
    whole = values("run_iter_8.caffemodel")
    for path in place.glob("run_iter_8*"):
        path.unlink()
    assert train.main(["--solver=solver.prototxt", "--nometrics", *flags, "--resume=auto"]) == 0
    np.testing.assert_array_equal(values("run_iter_8.caffemodel"), whole)
    assert train.main(["--solver=solver.prototxt", "--nometrics"]) == 0
    assert not np.array_equal(values("run_iter_8.caffemodel"), whole)


def test_a_few_batches_are_learned_by_heart(place, capsys):
    flags = ["--solver=solver.prototxt", "--overfit=1", "--iterations=200"]
    assert train.main(flags) == 0
    assert "learns these batches by heart" in capsys.readouterr().out
    assert not list(place.glob("run*"))  # no snapshots, no metrics
    write(place, rate=1e-9)
    assert train.main(flags) == 0
    assert "look at labels" in capsys.readouterr().out


def test_held_batches_come_again(place):
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    net.layers[0].hold(2)
    seen = []
    for _ in range(5):
        net.forward()
        seen.append(net.blobs["data"].data.copy())
    assert not np.array_equal(seen[0], seen[1])
    for i in (2, 4):
        np.testing.assert_array_equal(seen[i], seen[0])
    np.testing.assert_array_equal(seen[3], seen[1])
    with pytest.raises(InputError, match="At least one"):
        net.layers[0].hold(0)


def test_nets_without_files_hold_no_batches(place):
    (place / "net.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }'
        'layer { name: "s" type: "Reduction" bottom: "x" top: "s" loss_weight: 1 }'
    )
    solver = caffe.get_solver("solver.prototxt")
    from caffe.cli import _trial

    with pytest.raises(SolverError, match="has none"):
        _trial.hold(solver, 3)


def test_a_dry_run_says_time_and_memory(place, capsys):
    assert train.main(["--solver=solver.prototxt", "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "A batch to train on takes" in said and "one to test on" in said
    assert "8 iterations with 3 tests take about" in said and "Memory so far" in said
    assert not list(place.glob("run*"))


def test_what_led_to_a_loss_that_is_not_finite_is_kept(place, capsys):
    write(place, rate=1e30, scale=100, shuffle="false")
    assert train.main(["--solver=solver.prototxt", "--nometrics"]) == 1
    said = capsys.readouterr().err
    assert "the first is in" in said and "layer 'ip'" in said
    [weights] = place.glob("run_iter_*_not_finite.caffemodel")
    batch = np.load(weights.with_suffix(".npz"))
    assert sorted(batch) == ["data", "label"] and batch["data"].shape == (4, 3, 5, 6)
    net = caffe.Net("net.prototxt", caffe.TRAIN, weights=str(weights))
    iteration = int(weights.stem.split("_")[2])
    for _ in range(iteration + 1):
        net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data, batch["data"])
    assert not np.isfinite(net.blobs["loss"].data)
