"""Modes of forks' layers that no record covers, against their definition in plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import Case, build

from caffe.proto import caffe_pb2


def run(text: str, *bottoms: Any, tops: int = 1, phase: str = "TRAIN", times: int = 1) -> list[Any]:
    built = build(Case("mode", text, [(lambda _, v=v: v) for v in bottoms], tops=tops, phase=phase))
    for _ in range(times):
        built.layer.forward(built.bottoms, built.tops)
    return [top.data.copy() for top in built.tops]


ADD = 'type: "LabelSpecificAdd" label_specific_add_param { bias: -0.25 '
LOGITS, LABELS = np.array([[0.5, 2, -1], [0.1, 0, 3], [1, 0.2, 0.7]]), np.array([1, 0, 2])


@pytest.mark.parametrize("more", ["", "transform_test: true", "bias_base: 1"])
def test_a_label_is_added_to_in_training_only(more: str) -> None:
    assert (run(ADD + more + "}", LOGITS, LABELS, phase="TEST")[0] == LOGITS.astype(np.float32)).all()


def test_a_label_is_added_to_where_it_is_high() -> None:
    wanted = LOGITS.copy()
    wanted[0, 1] -= 0.25
    wanted[2, 2] -= 0.25
    np.testing.assert_allclose(run(ADD + "}", LOGITS, LABELS)[0], wanted, rtol=1e-6)


@pytest.mark.parametrize("times", [1, 3])
def test_a_bias_that_changes(times: int) -> None:
    more = "bias_base: -0.5 bias_gamma: 0.1 bias_power: 2 bias_min: -2 bias_max: 0.4 iteration: 3 }"
    y, bias = run(ADD + more, LOGITS, LABELS, tops=2, times=times)
    wanted = min(-0.5 + (1 + 0.1 * (3 + times - 1)) ** 2 - 1, 0.4)
    np.testing.assert_allclose(bias, [wanted], rtol=1e-5)
    rows = np.arange(3)
    added = np.where(LOGITS[rows, LABELS] > -wanted, wanted, 0)
    np.testing.assert_allclose(y[rows, LABELS], LOGITS[rows, LABELS] + added, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axes", [(), (1,), (1, 3), (-1, 0, 2)])
def test_norms_along_axes(axes: tuple[int, ...], p: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    fields = " ".join(f"axis: {axis}" for axis in axes)
    y = run(f'type: "LpNormalization" lp_normalization_param {{ p: {p} {fields} }}', x)[0]
    norm = (np.abs(x) ** p).sum(axes, keepdims=True) ** (1 / p) if axes else np.abs(x)
    np.testing.assert_allclose(y, x / norm, rtol=1e-5)


@pytest.mark.parametrize("axes", [(), (1,), (2, -4)])
def test_several_axes_turn_around(axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    fields = " ".join(f"axis: {axis}" for axis in axes)
    assert (run(f'type: "Reverse" reverse_param {{ {fields} }}', x)[0] == np.flip(x, axes or 0)).all()


@pytest.mark.parametrize(
    ("message", "defaults"),
    [
        ("DetectionGroupAccuracyParameter", {"field_whr": 2, "field_xyr": 4}),
        (
            "DetectionGroupLossParameter",
            {
                "field_whr": 4,
                "field_xyr": 0.25,
                "bg_threshold": 0.5,
                "bg_multiple": 4,
                "neg_mining_type": "random",
                "batch_size": -1,
                "bbox_loss_type": "Smooth_L1",
                "pos_neg_weighted": False,
                "lambda": 1,
            },
        ),
        ("HardMiningParameter", {"num_image": 4, "num_roi_per_image": 128}),
        (
            "ProposalTargetParameter",
            {
                "batch_size": 128,
                "num_img_per_batch": 4,
                "fg_fraction": 0.25,
                "fg_thr": 0.5,
                "bg_thr_hg": 0.5,
                "bg_thr_lw": np.float32(0.1),
            },
        ),
        ("BoxGroupOutputParameter", {"field_whr": 2, "field_xyr": 2, "iou_thr": 0.5, "min_size": 15}),
        ("SegmentationEvaluateParameter", {"num_classes": 1, "threshold": 0.5}),
    ],
)
def test_fields_that_are_not_given_are_as_in_the_fork(message: str, defaults: dict[str, Any]) -> None:
    made = getattr(caffe_pb2, message)()
    assert {name: getattr(made, name) for name in defaults} == defaults
