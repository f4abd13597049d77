"""Corner cases of BVLC's layers, with figures worked out by hand from the original's formulas."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Built, Case, build

import caffe
from caffe.layer_factory import create_layer
from caffe.proto import caffe_pb2

Arrays = list[Any]


def forward(text: str, *bottoms: object, tops: int = 1, phase: str = "TRAIN") -> tuple[Built, Arrays]:
    values = [lambda rng, b=b: np.array(b, np.float32) for b in bottoms]
    built = build(Case("corner", text, values, tops=tops, phase=phase))
    built.layer.forward(built.bottoms, built.tops)
    return built, [t.data.copy() for t in built.tops]


def gradients(built: Built, *diffs: object) -> Arrays:
    for top, diff in zip(built.tops, diffs):
        top.diff[...] = diff
    wanted = built.grad_bottoms()
    built.layer.backward(built.tops, [i in wanted for i in range(len(built.bottoms))], built.bottoms)
    return [built.bottoms[i].diff.copy() for i in wanted]


def test_gradients_at_kinks() -> None:
    for text, x, expected in [
        ('type: "AbsVal"', [-1, 0, 2], [-1, 0, 1]),
        ('type: "ReLU" relu_param { negative_slope: 0.5 }', [-1, 0, 2], [0.5, 0.5, 1]),
        ('type: "ELU" elu_param { alpha: 0.5 }', [-1, 0, 2], [0.5 * math.exp(-1), 0.5, 1]),
        ('type: "Clip" clip_param { min: -1 max: 1 }', [-1.5, -1, 1, 1.5], [0, 1, 1, 0]),
        ('type: "Power" power_param { power: 2 scale: 3 shift: 0 }', [0, 1], [0, 18]),
        ('type: "Reduction" reduction_param { operation: ASUM }', [-3, 0, 2], [-1, 0, 1]),
    ]:
        built, _ = forward(text, x)
        assert gradients(built, 1)[0] == pytest.approx(np.array(expected)), text


def test_prelu_at_zero() -> None:
    built, [y] = forward('type: "PReLU"', [[-2, 0], [0, 4]])
    slope = built.layer.blobs[0].data.copy()
    assert y == pytest.approx(np.array([[-2 * slope[0], 0], [0, 4]]))
    [diff] = gradients(built, 1)
    assert diff == pytest.approx(np.array([[slope[0], slope[1]], [slope[0], 1]]))
    assert built.layer.blobs[0].diff == pytest.approx(np.array([-2, 0]))


def test_prelu_starts_at_a_quarter() -> None:
    layer = create_layer(caffe_pb2.LayerParameter(name="p", type="PReLU", bottom=["x"], top=["y"]))
    layer.setup([caffe.Blob(2, 3)], [caffe.Blob()])
    assert layer.blobs[0].data.tolist() == [0.25, 0.25, 0.25]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("power: 0 scale: 2 shift: 5", 1),
        ("power: 2 scale: 0 shift: 3", 9),
        ("power: -1 scale: 0 shift: 0", math.inf),
        ("power: 0.5 scale: 0 shift: -1", math.nan),
    ],
)
def test_power_without_its_bottom(inside: str, expected: float) -> None:
    built, [y] = forward(f'type: "Power" power_param {{ {inside} }}', [0.5, -2, 7])
    assert y == pytest.approx(np.full(3, expected), nan_ok=True)
    assert gradients(built, 1)[0].tolist() == [0, 0, 0]


def test_bnll_far_out() -> None:
    _, [y] = forward('type: "BNLL"', [-200, 0, 200])
    assert y == pytest.approx(np.array([0, math.log(2), 200]))


def test_dropout_keeps_the_mean_in_training() -> None:
    caffe.set_random_seed(3)
    built, [y] = forward('type: "Dropout" dropout_param { dropout_ratio: 0.2 }', np.ones((100, 100)))
    assert sorted(set(y.flatten().tolist())) == [0, 1.25]
    assert (y == 0).mean() == pytest.approx(0.2, abs=0.02)
    assert np.array_equal(gradients(built, 1)[0], y)


@pytest.mark.parametrize("ratio", [0, 0.001, 0.75, 0.99999])
def test_dropout_keeps_its_share(ratio: float) -> None:
    caffe.set_random_seed(5)
    _, [y] = forward(f'type: "Dropout" dropout_param {{ dropout_ratio: {ratio} }}', np.ones((200, 500)))
    deviation = (ratio * (1 - ratio) / y.size) ** 0.5
    assert (y == 0).mean() == pytest.approx(ratio, abs=5 * deviation)
    assert y[y > 0] == pytest.approx(1 / (1 - np.float32(ratio)), rel=1e-5)


def test_dropout_draws_from_the_seed() -> None:
    def drawn(seed: int) -> np.ndarray:
        caffe.set_random_seed(seed)
        return forward('type: "Dropout"', np.ones((30, 40)))[1][0]

    assert np.array_equal(drawn(7), drawn(7))
    assert 0.4 < (drawn(7) == drawn(8)).mean() < 0.6


def test_dropout_of_forks() -> None:
    ones = np.ones((50, 60))
    _, [y] = forward('type: "Dropout" dropout_param { dropout_ratio: 0.25 scale_train: false }', ones)
    assert sorted(set(y.flatten().tolist())) == [0, 1]
    text = 'type: "Dropout" dropout_param {{ dropout_ratio: 0.25 {} }}'
    _, [y] = forward(text.format("scale_train: false"), ones, phase="TEST")
    assert (y == 0.75).all()
    _, [y] = forward(text.format("sample_weights_test: true"), ones, phase="TEST")
    assert sorted(set(y.flatten().tolist())) == [0, pytest.approx(4 / 3)]


def test_label_smoothing_is_in_the_gradient_only() -> None:
    text = 'type: "SoftmaxWithLoss" loss_param {{ {} }}'
    x, labels = [[1, 2, 0, 3]], [1]
    _, [plain] = forward(text.format(""), x, labels)
    built, [loss, prob] = forward(text.format("label_smoothing: 0.2"), x, labels, tops=2)
    assert loss == pytest.approx(plain)
    kept = 0.8 + 3 * 0.05
    assert gradients(built, 1, 0)[0] == pytest.approx(kept * prob - [[0.05, 0.8, 0.05, 0.05]], abs=1e-6)


def test_eltwise_max_of_equals() -> None:
    built, [y] = forward('type: "Eltwise" eltwise_param { operation: MAX }', [1, 2, 5], [1, 3, 4], [1, 3, 5])
    assert y.tolist() == [1, 3, 5]
    assert [d.tolist() for d in gradients(built, [1, 1, 1])] == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]


def test_eltwise_prod_with_zeros() -> None:
    built, _ = forward('type: "Eltwise" eltwise_param { operation: PROD }', [0, 2], [3, 0], [4, 5])
    assert [d.tolist() for d in gradients(built, [1, 1])] == [[12, 0], [0, 10], [0, 0]]


def test_argmax_of_equals_takes_the_last() -> None:
    x = [[1, 3, 3, 0], [2, 2, 2, 2]]
    assert forward('type: "ArgMax"', x)[1][0].tolist() == [[[2]], [[3]]]
    assert forward('type: "ArgMax" argmax_param { top_k: 3 }', x)[1][0].tolist() == [[[2, 1, 0]], [[3, 2, 1]]]
    [y] = forward('type: "ArgMax" argmax_param { out_max_val: true top_k: 2 }', x)[1]
    assert y.tolist() == [[[2, 1], [3, 3]], [[3, 2], [2, 2]]]
    assert forward('type: "ArgMax" argmax_param { axis: 0 }', x)[1][0].tolist() == [[1, 0, 0, 1]]


def test_accuracy_counts_equals_against_the_label() -> None:
    scores = [[1, 1, 0], [0, 2, 1], [3, 3, 3], [0, 1, 2]]
    labels = [0, 1, 2, 1]
    assert forward('type: "Accuracy"', scores, labels)[1][0] == 0.25
    assert forward('type: "Accuracy" accuracy_param { top_k: 2 }', scores, labels)[1][0] == 0.75
    [y, each] = forward('type: "Accuracy" accuracy_param { ignore_label: 2 }', scores, labels, tops=2)[1]
    assert y == pytest.approx(1 / 3)
    assert each.tolist() == [0, 0.5, 0]


def test_accuracy_of_labels_outside_the_classes(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in SegNet's published nets: 11 for "nothing", behind classes 0 to 10, and no ignore_label."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    scores = [[1, 9, 0], [0, 2, 1], [3, 3, 9], [0, 9, 2]]
    _, [accuracy, each] = forward('name: "acc" type: "Accuracy"', scores, [1, 3, 2, -1], tops=2)
    assert accuracy == 0.5 and each.tolist() == [0, 1, 1]
    told = capfd.readouterr().err
    assert told.count("Layer 'acc' (Accuracy): labels should be from 0 to 2; got 3") == 1
    [y] = forward('type: "Accuracy" accuracy_param { ignore_label: 3 }', scores, [1, 3, 2, -1])[1]
    assert y == pytest.approx(2 / 3)
    [y] = forward('type: "Accuracy" accuracy_param { top_k: 3 }', scores, [1, 3, 2, -1])[1]
    assert y == 0.5


def test_labels_are_cut_off_to_whole_numbers() -> None:
    x = [[1, 2, 4], [0, 3, 1]]
    whole = forward('type: "SoftmaxWithLoss"', x, [0, 2])[1][0]
    assert forward('type: "SoftmaxWithLoss"', x, [-0.9, 2.9])[1][0] == whole


def test_softmax_loss_of_nothing_likely() -> None:
    built, [loss, prob] = forward('type: "SoftmaxWithLoss"', [[0, 500]], [0], tops=2)
    assert loss == pytest.approx(-math.log(np.finfo(np.float32).tiny))
    assert prob.tolist() == [[0, 1]]
    assert gradients(built, 1, 7)[0].tolist() == [[-1, 1]]


@pytest.mark.parametrize("mode", ["FULL", "VALID", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("ignored", [True, False])
def test_normalization(mode: str, ignored: bool) -> None:
    x = np.zeros((2, 4, 3))
    labels = [[0, 1, 2], [1, 3, 1]]
    count = 3 if ignored else 6
    divisor = {"FULL": 6, "VALID": count, "BATCH_SIZE": 2, "NONE": 1}[mode]
    inside = f"normalization: {mode}" + (" ignore_label: 1" if ignored else "")
    loss = forward(f'type: "SoftmaxWithLoss" loss_param {{ {inside} }}', x, labels)[1][0]
    assert loss == pytest.approx(count * math.log(4) / divisor)
    targets = np.array(labels, np.float32)
    sigmoid = forward(
        f'type: "SigmoidCrossEntropyLoss" loss_param {{ {inside} }}', np.zeros((2, 3)), targets
    )[1][0]
    assert sigmoid == pytest.approx(count * math.log(2) / divisor)


def test_everything_ignored() -> None:
    built, [loss] = forward(
        'type: "SoftmaxWithLoss" loss_param { ignore_label: 1 }', [[1, 2], [3, 4]], [1, 1]
    )
    assert loss == 0
    assert gradients(built, 1)[0].tolist() == [[0, 0], [0, 0]]


def test_normalization_goes_before_normalize() -> None:
    text = 'type: "SoftmaxWithLoss" loss_param {{ ignore_label: 0 {} }}'
    x, labels = np.zeros((2, 2, 2)), [[0, 0], [0, 1]]
    one = math.log(2)
    for inside, expected in [
        ("", one),
        ("normalize: true", one),
        ("normalize: false", one / 2),
        ("normalize: false normalization: FULL", one / 4),
    ]:
        assert forward(text.format(inside), x, labels)[1][0] == pytest.approx(expected), inside


def test_sigmoid_cross_entropy_is_by_batch_size_unless_told() -> None:
    text = 'type: "SigmoidCrossEntropyLoss" {}'
    x, t = np.zeros((2, 3)), np.zeros((2, 3))
    assert forward(text.format(""), x, t)[1][0] == pytest.approx(3 * math.log(2))
    assert forward(text.format("loss_param { normalize: true }"), x, t)[1][0] == pytest.approx(math.log(2))


def test_multinomial_floor() -> None:
    built, [loss] = forward('type: "MultinomialLogisticLoss"', [[0, 1], [0.5, 0.5]], [0, 1])
    assert loss == pytest.approx((-math.log(1e-20) + math.log(2)) / 2, rel=1e-5)
    assert gradients(built, 1)[0] == pytest.approx(np.array([[-0.5e20, 0], [0, -1]]), rel=1e-5)


def test_infogain_with_identity_is_softmax_loss() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 2))
    labels = [[0, 1], [2, 3], [1, 1]]
    options = "loss_param { ignore_label: 3 }"
    built, [loss] = forward(f'type: "InfogainLoss" {options}', x, labels, np.eye(4))
    other, [expected] = forward(f'type: "SoftmaxWithLoss" {options}', x, labels)
    assert loss == pytest.approx(expected)
    assert gradients(built, 1)[0] == pytest.approx(gradients(other, 1)[0], abs=1e-7)


def test_contrastive_gradient_of_dissimilar_pairs() -> None:
    a, b, y = [[3, 0], [0.5, 0]], [[0, 4], [0.5, 0]], [0, 0]
    built, [loss] = forward('type: "ContrastiveLoss" contrastive_loss_param { margin: 6 }', a, b, y)
    assert loss == pytest.approx((1 + 36) / 4)
    da, db = gradients(built, 1)
    assert da == pytest.approx(np.array([[3, -4], [0, 0]]) * -(6 - 5) / (5 + 1e-4) / 2, rel=1e-5)
    assert np.array_equal(db, -da)


def test_hinge_counts_every_class() -> None:
    assert forward('type: "HingeLoss"', [[0.5, -2, 3]], [0])[1][0] == pytest.approx(0.5 + 0 + 4)
    text = 'type: "HingeLoss" hinge_loss_param { norm: L2 }'
    assert forward(text, [[0.5, -2, 3]], [0])[1][0] == pytest.approx(0.25 + 16)


def test_pixelshuffler() -> None:
    x = np.arange(16).reshape(1, 4, 2, 2)
    _, [y] = forward('type: "Reshape" reshape_param { pixelshuffler: 2 }', x)
    assert y.tolist() == [[[[0, 4, 1, 5], [8, 12, 9, 13], [2, 6, 3, 7], [10, 14, 11, 15]]]]


def test_filter_selecting_nothing() -> None:
    built, [y] = forward('type: "Filter"', np.ones((3, 2)), [0, 0, 0])
    assert y.shape == (0, 2)
    assert gradients(built, np.zeros((0, 2)))[0].tolist() == [[0, 0]] * 3


def net(tmp_path: Path, text: str, phase: int = caffe.TRAIN) -> caffe.Net:
    file = tmp_path / "net.prototxt"
    file.write_text(text)
    return caffe.Net(str(file), phase)


def test_dummy_data_fills_constants_once(tmp_path: Path) -> None:
    n = net(
        tmp_path,
        'layer { name: "d" type: "DummyData" top: "c" top: "r" dummy_data_param { shape { dim: 2 dim: 3 }'
        ' data_filler { value: 4 } data_filler { type: "uniform" min: 5 max: 6 } } }',
    )
    n.forward()
    first = n.blobs["r"].data.copy()
    assert (n.blobs["c"].data == 4).all()
    assert (first >= 5).all() and (first <= 6).all()
    n.blobs["c"].data[...] = 9
    n.forward()
    assert (n.blobs["c"].data == 9).all()
    assert not np.array_equal(n.blobs["r"].data, first)


def test_inputs_keep_their_storage(tmp_path: Path) -> None:
    n = net(
        tmp_path,
        'layer { name: "i" type: "Input" top: "a" top: "b"'
        " input_param { shape { dim: 2 } shape { dim: 3 dim: 1 } } }"
        ' layer { name: "s" type: "Silence" bottom: "b" }',
    )
    view = n.blobs["a"].data
    view[...] = [1, 2]
    n.forward()
    assert n.blobs["a"].data.tolist() == [1, 2]
    view[0] = 7
    assert n.blobs["a"].data.tolist() == [7, 2]
    assert n.blobs["b"].shape == (3, 1)
    assert n.outputs == ["a"]


def test_a_parameter_learns(tmp_path: Path) -> None:
    n = net(
        tmp_path,
        'layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 2 } } }'
        ' layer { name: "t" type: "DummyData" top: "t"'
        " dummy_data_param { shape { dim: 2 } data_filler { value: 3 } } }"
        ' layer { name: "l" type: "EuclideanLoss" bottom: "p" bottom: "t" top: "l" }',
    )
    for times in (1, 2):
        n.forward()
        n.backward()
        assert n.params["p"][0].diff.tolist() == [-1.5 * times] * 2
    n.params["p"][0].data[...] = 3
    assert n.forward()["l"] == 0


def test_splits_add_their_gradients(tmp_path: Path) -> None:
    tops = "".join(
        f' layer {{ name: "p{i}" type: "Power" bottom: "x" top: "y{i}" loss_weight: 1'
        f" power_param {{ scale: {i} }} }}"
        for i in (1, 2, 3)
    )
    n = net(
        tmp_path,
        'force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        + tops
        + ' layer { name: "q" type: "Silence" bottom: "x" }',
    )
    n.forward()
    n.backward()
    assert n.blobs["x"].diff.tolist() == [6, 6]


def test_loss_weight_on_any_top(tmp_path: Path) -> None:
    n = net(
        tmp_path,
        "force_backward: true"
        ' layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 2 } } }'
        ' layer { name: "p" type: "Power" bottom: "x" top: "y" power_param { power: 2 } loss_weight: 0.5 }',
    )
    n.blobs["x"].data[...] = [[1, 2], [3, 4]]
    assert n._forward(0, len(n.layers) - 1) == pytest.approx(15)
    n.backward()
    assert n.blobs["x"].diff.tolist() == [[1, 2], [3, 4]]
