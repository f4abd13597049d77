"""What forwards leave for backward, switch by switch: faults that nets once had, each by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from switch_nets import build

import caffe
from caffe import layers as L
from caffe.errors import StateError

Objective = Callable[[caffe.Blob], None]


def gradients(net: caffe.Net) -> dict[tuple[str, int], np.ndarray]:
    return {(name, k): blob.diff.copy() for name, blobs in net.params.items() for k, blob in enumerate(blobs)}


def same(found: dict, wanted: dict, tolerance: float = 1e-6) -> None:
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        assert np.abs(found[key] - values).max() <= tolerance * max(1, np.abs(values).max()), key


def test_checkpointed_recurrent_layers_have_the_gradients_of_their_own_batch() -> None:
    """Running a group again for backward is no new batch: it begins with what the forward began with."""
    plain, checkpointed = build("recurrent", caffe.TRAIN), build("recurrent", caffe.TRAIN)
    checkpointed.set_checkpointing()
    for _ in range(3):  # each begins with the values that the one before ended with
        for net in (plain, checkpointed):
            net.clear_param_diffs()
            net.forward()
            net.backward()
        assert max(np.abs(diff).max() for diff in gradients(plain).values()) > 0.01
        same(gradients(checkpointed), gradients(plain))


def test_reading_freed_blobs_of_a_recurrent_net_changes_nothing() -> None:
    plain, freeing = build("recurrent", caffe.TEST), build("recurrent", caffe.TEST)
    freeing.set_inference(recompute=True)
    scores = []
    for _ in range(3):
        for net in (plain, freeing):
            net.forward()
        scores.append(plain.blobs["two"].data.copy())
        for _ in range(2):
            for name in ("one", "mid", "again", "two"):
                assert np.allclose(freeing.blobs[name].data, plain.blobs[name].data, rtol=1e-5, atol=1e-6)
    assert np.abs(scores[0] - scores[1]).max() > 1e-3  # what goes on from batch to batch matters


@pytest.mark.parametrize(
    "switch", [lambda net: net.set_checkpointing(), lambda net: net.set_inference(recompute=True)]
)
@pytest.mark.parametrize("kind", ["plain", "in_place", "normalized", "python"])
def test_the_next_batch_may_be_written_before_backward(
    kind: str, switch: Callable[[caffe.Net], None]
) -> None:
    """What backward computes again is of the batch that was."""
    plain, again = build(kind, caffe.TRAIN), build(kind, caffe.TRAIN)
    switch(again)
    for net in (plain, again):
        caffe.set_random_seed(6)
        net.forward()
    again.blobs["data"].data[...] *= -0.7
    for net in (plain, again):
        net.backward()
    same(gradients(again), gradients(plain))


def test_freed_values_of_another_shape_are_not_given_back() -> None:
    net = build("plain", caffe.TEST)
    net.set_inference(recompute=True)
    net.forward()
    for size in (3, 2):
        net.blobs["data"].reshape(size, 3, 7, 6)
        net.blobs["label"].reshape(size)
        net.reshape()
    with pytest.raises(StateError, match="freed"):
        net.blobs["relu"].data


@pytest.mark.parametrize("kind", ["plain", "normalized", "recurrent"])
def test_checkpointing_off_in_inference_mode(kind: str) -> None:
    net, plain = build(kind, caffe.TRAIN), build(kind, caffe.TRAIN)
    net.set_inference()
    net.set_checkpointing(False)
    for each in (net, plain):
        caffe.set_random_seed(6)
        each.forward()
    assert np.allclose(net.blobs["loss"].data, plain.blobs["loss"].data, rtol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "normalized", "recurrent"])
def test_inference_off_before_a_backward(kind: str) -> None:
    """With nothing kept that is said; where it can be computed again, the gradients are right."""
    net = build(kind, caffe.TRAIN)
    net.set_inference()
    net.forward()
    net.set_inference(False)
    with pytest.raises(StateError, match="inference mode keeps nothing"):
        net.backward()
    plain, again = build(kind, caffe.TRAIN), build(kind, caffe.TRAIN)
    again.set_inference(recompute=True)
    for each in (plain, again):
        caffe.set_random_seed(6)
        each.forward()
    again.set_inference(False)
    for each in (plain, again):
        each.backward()
    same(gradients(again), gradients(plain), 1e-5)


@pytest.mark.parametrize("kind", ["plain", "normalized", "recurrent", "python"])
def test_checkpointing_on_between_forward_and_backward(kind: str) -> None:
    net, plain = build(kind, caffe.TRAIN), build(kind, caffe.TRAIN)
    for each in (net, plain):
        caffe.set_random_seed(6)
        each.forward()
    net.set_checkpointing()
    for each in (net, plain):
        each.backward()
    same(gradients(net), gradients(plain))


# Dreams: the best-known script climbs up the gradient of a layer in the middle, at several sizes of the image


def inception() -> caffe.NetSpec:
    """Two branches as in GoogLeNet, and behind them an InnerProduct, which takes one size of image only."""
    n = caffe.NetSpec()
    xavier = dict(type="xavier")
    n.data = L.Input(shape=dict(dim=[1, 3, 26, 22]))
    n.conv = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=xavier)
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.relu, kernel_size=3, stride=2)
    n.norm = L.LRN(n.pool)
    n.left = L.Convolution(n.norm, kernel_size=1, num_output=3, weight_filler=xavier)
    n.left_relu = L.ReLU(n.left, in_place=True)
    n.right = L.Convolution(n.norm, kernel_size=3, pad=1, num_output=5, weight_filler=xavier)
    n.right_relu = L.ReLU(n.right, in_place=True)
    n.mixed = L.Concat(n.left_relu, n.right_relu)
    n.fc = L.InnerProduct(n.mixed, num_output=6, weight_filler=xavier)
    n.prob = L.Softmax(n.fc)
    return n


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, str]:
    param = inception().to_proto()
    param.force_backward = True
    text, weights = tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel"
    text.write_text(str(param))
    caffe.set_random_seed(4)
    caffe.Net(str(text), caffe.TEST).save(str(weights))
    return str(text), str(weights)


def climb(net: caffe.Net, end: str, objective: Objective, octaves: int = 3, steps: int = 2) -> np.ndarray:
    """Octaves of growing images, with the detail of one carried on to the next; returns the last image."""
    rng = np.random.default_rng(2)
    base = rng.normal(size=(3, 40, 36)).astype(np.float32)
    pictures = [base]
    for _ in range(octaves - 1):
        _, h, w = pictures[-1].shape
        pictures.append(caffe.io.resize_image(pictures[-1].transpose(1, 2, 0), (int(h / 1.3), int(w / 1.3)))
                        .transpose(2, 0, 1))  # fmt: skip
    source, target = net.blobs["data"], net.blobs[end]
    detail = np.zeros_like(pictures[-1])
    for picture in pictures[::-1]:
        _, h, w = picture.shape
        if detail.shape != picture.shape:
            detail = caffe.io.resize_image(detail.transpose(1, 2, 0), (h, w)).transpose(2, 0, 1)
        source.reshape(1, 3, h, w)
        source.data[0] = picture + detail
        for _ in range(steps):
            net.forward(end=end)
            objective(target)
            net.backward(start=end)
            gradient = source.diff[0]
            source.data[0] += 0.5 / np.abs(gradient).mean() * gradient
        detail = source.data[0] - picture
    return source.data[0].copy()


def itself(target: caffe.Blob) -> None:
    target.diff[:] = target.data


def towards(guide: np.ndarray) -> Objective:
    """Each position climbs towards the guide's features that are most like its own."""

    def objective(target: caffe.Blob) -> None:
        x = target.data[0].reshape(len(guide), -1)
        target.diff[0].reshape(len(guide), -1)[:] = guide[:, x.T.dot(guide).argmax(1)]

    return objective


@pytest.mark.parametrize("guided", [False, True], ids=["itself", "guided"])
def test_dreams_of_a_classifier(model: tuple[str, str], guided: bool) -> None:
    """As by a net that keeps everything; what is behind the end, for one size of image alone, is never run."""
    images = []
    for make in (lambda: caffe.Net(*model, caffe.TEST), lambda: caffe.Classifier(*model)):
        net = make()
        objective = itself
        if guided:
            rng = np.random.default_rng(5)
            net.blobs["data"].reshape(1, 3, 32, 28)
            net.blobs["data"].data[0] = rng.normal(size=(3, 32, 28))
            net.forward(end="mixed")
            objective = towards(net.blobs["mixed"].data[0].copy().reshape(8, -1))
        images.append(climb(net, "mixed", objective))
    assert np.abs(images[0]).max() > 0.1
    assert np.abs(images[1] - images[0]).max() <= 1e-3 * np.abs(images[0]).max()
