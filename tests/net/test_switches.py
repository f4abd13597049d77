"""Sequences of switches, forwards, backwards, reads and writes: as on a net whose switches are all off.

``python tests/support/switch_sequences.py --length 3`` runs all of a length, by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from switch_nets import BOTH, GLOBAL, KINDS, SWITCHES
from switch_sequences import ACTIONS, Difference, run

import caffe
from caffe import layers as L
from caffe.errors import CaffeError, StateError

PHASES = [caffe.TRAIN, caffe.TEST]
NOT_COMPILED = [action for action in ACTIONS if "compile" not in action]


@pytest.mark.parametrize("phase", PHASES, ids=["TRAIN", "TEST"])
@pytest.mark.parametrize("kind", KINDS)
def test_sampled_sequences(kind: str, phase: int) -> None:
    rng = np.random.default_rng([7, list(KINDS).index(kind), phase])
    for length in (2, 3, 3, 4, 4, 4, 4, 4):
        run([str(action) for action in rng.choice(NOT_COMPILED, length)], kind, phase)


@pytest.mark.parametrize("phase", PHASES, ids=["TRAIN", "TEST"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sequence",
    [
        ("checkpointing", "forward", "backward"),
        ("recompute", "forward", "backward", "read"),
        ("recompute", "forward", "read", "forward"),
        ("recompute", "first part", "backward first part", "forward"),
        ("inference", "no checkpointing", "forward", "backward"),
        ("inference", "forward", "no inference", "backward"),
        ("forward", "inference", "backward"),
        ("forward", "checkpointing", "backward"),
        ("checkpointing", "forward", "no checkpointing", "backward"),
        ("checkpointing", "forward", "backward", "backward"),
        ("checkpointing", "forward", "backward", "first part"),
        ("recompute", "forward", "reshape", "backward first part", "read"),
        ("recompute", "forward", "reshape", "reshape", "read"),
        ("recompute", "forward", "reshape", "backward last part"),
        ("checkpointing", "forward", "write input", "backward", "forward", "backward"),
        ("hooks", "recompute", "forward", "backward"),
        ("forward", "hooks", "backward"),
        ("forward", "last part", "backward"),
        ("recompute", "last part", "backward first part"),
    ],
    ids=" → ".join,
)
def test_chosen_sequences(kind: str, phase: int, sequence: tuple[str, ...]) -> None:
    run(sequence, kind, phase)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["normalized", "python"])
def test_compiled(kind: str) -> None:
    run(("compile", "forward", "forward", "backward", "read"), kind, caffe.TEST)


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself can fail."""
    monkeypatch.setitem(SWITCHES, "hooks", lambda net: net.params["two"][0].data.fill(1))
    with pytest.raises(Difference, match="hooks"):
        run(("forward", "hooks"), "plain", caffe.TEST)
    assert {"forward", "backward"} <= {*BOTH} and {"amp"} <= {*GLOBAL}


def dreamer() -> caffe.Net:
    """A small net like GoogLeNet: two branches, and behind them a layer that takes one size of image only."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 24, 20]))
    n.conv = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=dict(type="xavier"))
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.relu, kernel_size=3, stride=2)
    n.norm = L.LRN(n.pool)
    n.left = L.Convolution(n.norm, kernel_size=1, num_output=3, weight_filler=dict(type="xavier"))
    n.left_relu = L.ReLU(n.left, in_place=True)
    n.right = L.Convolution(n.norm, kernel_size=3, pad=1, num_output=5, weight_filler=dict(type="xavier"))
    n.right_relu = L.ReLU(n.right, in_place=True)
    n.mixed = L.Concat(n.left_relu, n.right_relu)
    n.fc = L.InnerProduct(n.mixed, num_output=6, weight_filler=dict(type="xavier"))
    n.prob = L.Softmax(n.fc)
    proto = n.to_proto()
    proto.force_backward = True
    caffe.set_random_seed(4)
    return caffe.Net(proto, caffe.TEST)


def dream(net: caffe.Net, octaves: list[tuple[int, int]]) -> list[np.ndarray]:
    """Climbs up the gradient of a layer in the middle, at several sizes, as the well-known script does."""
    rng = np.random.default_rng(2)
    source, target = net.blobs["data"], net.blobs["mixed"]
    images = []
    for height, width in octaves:
        source.reshape(1, 3, height, width)
        source.data[0] = rng.normal(size=(3, height, width))
        for _ in range(2):
            net.forward(end="mixed")
            target.diff[:] = target.data
            net.backward(start="mixed")
            gradient = source.diff[0]
            source.data[:] += 1.5 / np.abs(gradient).mean() * gradient
        images.append(source.data.copy())
    return images


def test_dreams() -> None:
    """Nothing behind the end of a forward of a part is run by the backward."""
    octaves = [(24, 20), (34, 28), (48, 40)]
    expected = dream(dreamer(), octaves)
    net = dreamer()
    net.set_inference(recompute=True)
    net.forward()
    for found, wanted in zip(dream(net, octaves), expected):
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
    assert net.blobs["norm"].data.shape[2:] == (23, 19)  # computed again, at the last size
    with pytest.raises(CaffeError, match="fc"):
        net.forward()


def test_what_an_earlier_forward_made_is_as_it_was() -> None:
    """A forward of a part, and new values in the input, change nothing of what is behind."""
    net = dreamer()
    rng = np.random.default_rng(3)
    net.blobs["data"].data[...] = rng.normal(size=(1, 3, 24, 20))
    expected: dict[str, Any] = {k: v.copy() for k, v in net.forward(blobs=["fc", "norm"]).items()}
    net.set_inference(recompute=True)
    net.forward()
    net.blobs["data"].data[...] = 0
    assert np.allclose(net.blobs["fc"].data, expected["fc"], rtol=1e-5, atol=1e-6)
    net.forward()
    net.blobs["data"].reshape(1, 3, 30, 26)
    net.forward(end="norm")
    assert net.blobs["norm"].data.shape[2:] == (14, 12)
    assert np.allclose(net.blobs["fc"].data, net.params["fc"][1].data)  # of zeros


def test_backward_without_what_it_needs_says_so() -> None:
    net = dreamer()
    net.set_inference()
    net.forward()
    net.set_inference(False)
    with pytest.raises(StateError, match="set_inference"):
        net.backward()
    net.forward()
    net.backward()
