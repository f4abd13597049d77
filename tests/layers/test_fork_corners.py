"""Corners of the forks' layers, against figures worked out by hand from what the forks compute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from harness import Array, layer_parameter, make_layer

from caffe.blob import Blob
from caffe.errors import LayerError
from caffe.layer import Layer
from caffe.layer_factory import create_layer


def run(
    text: str,
    bottoms: Sequence[Array],
    tops: int = 1,
    params: Sequence[Array] = (),
    diff: Array | float | None = None,
) -> tuple[list[Array], list[Array], Layer]:
    """Tops, the bottoms' diffs after backward where ``diff`` is top 0's, and the layer."""
    layer = create_layer(layer_parameter(text, len(bottoms), tops))
    blobs = []
    for array in bottoms:
        blobs.append(Blob(*np.shape(array)))
        blobs[-1].data[...] = array
    top_blobs = [Blob() for _ in range(tops)]
    layer.setup(blobs, top_blobs)
    down = [i not in layer.no_gradient for i in range(len(blobs))]
    layer.needs.bottoms = down
    layer.needs.params = [True] * len(layer.blobs)
    for blob, array in zip(layer.blobs, params):
        blob.data[...] = array
    layer.reshape(blobs, top_blobs)
    layer.forward(blobs, top_blobs)
    found = [top.data.copy() for top in top_blobs]
    if diff is not None:
        top_blobs[0].diff[...] = diff
        layer.backward(top_blobs, down, blobs)
    return found, [b.diff.copy() for b in blobs], layer


@pytest.mark.parametrize(("kind", "sign"), [("ORIGIN", -1), ("ONEADDP", 1)])
def test_focal_gradient_divides_by_one_minus_p_whatever_alpha_is(kind: str, sign: int) -> None:
    scores = np.array([[0.3, -0.2, 0.5]])
    p = np.exp(scores) / np.exp(scores).sum()
    q, alpha, gamma = p[0, 1], 1.7, 3
    factor = (alpha + sign * q) ** gamma
    along_log = factor + sign * gamma * factor / (1 + sign * q) * np.log(q) * q
    tops, diffs, _ = run(
        f'type: "FocalLoss" focal_loss_param {{ type: {kind} alpha: 1.7 gamma: 3 }}',
        [scores, np.array([1])],
        diff=0.5,
    )
    np.testing.assert_allclose(tops[0], -factor * np.log(q), rtol=1e-5)
    np.testing.assert_allclose(diffs[0], 0.5 * along_log * (p - [[0, 1, 0]]), rtol=1e-5)


def test_focal_of_certain_scores_is_finite() -> None:
    scores, labels = np.array([[200.0, 0, 0], [200, 0, 0]]), np.array([0, 1])
    tops, diffs, _ = run(
        'type: "FocalLoss" focal_loss_param { gamma: 0.5 alpha: 1 }', [scores, labels], diff=1
    )
    np.testing.assert_allclose(tops[0], 87.33654 / 2, rtol=1e-6)  # -log of the smallest float
    np.testing.assert_allclose(diffs[0], np.array([[0, 0, 0], [0.5, -0.5, 0]]), atol=1e-7)


@pytest.mark.parametrize(("fields", "times"), [("", 1), ('distance_type: "L2"', 2)])
def test_center_gradient_counts_once_a_sample_in_caffe_windows(fields: str, times: int) -> None:
    x, centers = np.array([[1.0, 2], [3, 5], [4, 4]]), np.array([[0.0, 1], [2, 2], [9, 9]])
    *_, layer = run(
        f'type: "CenterLoss" loss_weight: 1 center_loss_param {{ num_output: 3 {fields} }}',
        [x, np.array([0, 0, 1])],
        params=[centers],
        diff=1,
    )
    expected = np.array([[-4 / 3 * times, -5 / 3 * times], [-2 / 2, -2 / 2], [0, 0]])
    np.testing.assert_allclose(layer.blobs[0].diff, expected, rtol=1e-6)


def test_ctc_reads_the_first_time_steps_only() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((5, 2, 4)), np.array([[1, 2], [3, 0]])
    text = 'type: "CtcLoss" ctc_loss_param {{ alphabet_size: 4 time_step: {} }}'
    part, part_diffs, _ = run(text.format(3), [x, labels], diff=1)
    whole, whole_diffs, _ = run(text.format(3), [x[:3], labels], diff=1)
    np.testing.assert_array_equal(part[0], whole[0])
    np.testing.assert_array_equal(part_diffs[0][:3], whole_diffs[0])
    assert not part_diffs[0][3:].any()
    with pytest.raises(LayerError, match="time_step"):
        make_layer(text.format(6), (5, 2, 4), (2, 2))


def test_ohem_chooses_positions_and_gives_four_axes() -> None:
    rois = np.zeros((2, 5, 1, 3))
    rois[1, 0] = 1
    loss = np.array([5.0, 1, 6, 2, 9, 3]).reshape(2, 1, 1, 3)
    labels, weights = np.arange(1, 7).reshape(2, 1, 1, 3), np.ones((2, 4, 1, 3))
    tops, *_ = run(
        'type: "BoxAnnotatorOHEM" box_annotator_ohem_param { roi_per_img: 2 }',
        [rois, loss, labels, weights],
        tops=2,
    )
    np.testing.assert_array_equal(tops[0], np.array([1, -1, 3, -1, 5, 6]).reshape(2, 1, 1, 3))
    np.testing.assert_array_equal(tops[1][:, 3, 0], [[1, 0, 1], [0, 1, 1]])
    layer = make_layer(
        'type: "BoxAnnotatorOHEM" box_annotator_ohem_param { roi_per_img: 2 }',
        (6, 5),
        (6,),
        (6,),
        (6, 8),
        tops=2,
    )
    inferred = layer.compute(*(Blob(*s).tensor for s in ((6, 5), (6,), (6,), (6, 8))))  # type: ignore[attr-defined]
    assert [tuple(t.shape) for t in inferred] == [(6, 1, 1, 1), (6, 8, 1, 1)]


def test_correlation_to_the_left_begins_one_step_beyond() -> None:
    """Displacements -3, -2, -1 where max_displacement is 2."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 1, 2, 3, 6)).astype(np.float32)
    tops, *_ = run(
        'type: "Correlation1D" correlation_param'
        " { pad: 2 kernel_size: 1 max_displacement: 2 single_direction: -1 }",
        [a, b],
    )
    assert tops[0].shape == (1, 3, 3, 6)
    wide = np.pad(b, ((0, 0), (0, 0), (0, 0), (3, 0)))
    for channel, right in enumerate((-3, -2, -1)):
        expected = (a * wide[..., 3 + right : 9 + right]).mean(1)
        np.testing.assert_allclose(tops[0][:, channel], expected, rtol=1e-5)


def test_deformable_convolution_beyond_the_border() -> None:
    """A value less than a pixel after the last row is that of the last row; one before the first is 0."""
    x = np.arange(1.0, 13).reshape(1, 1, 3, 4)
    offsets = np.zeros((1, 2, 3, 4))
    offsets[0, 0] = [[-0.25] * 4, [0.5] * 4, [0.75] * 4]
    offsets[0, 1, 1:, 3] = [0.5, 1]  # half a pixel and a whole one after the last column
    tops, diffs, _ = run(
        'type: "DeformableConvolution" convolution_param'
        " { num_output: 1 kernel_size: 1 bias_term: false deformable_group: 1 }",
        [x, offsets],
        params=[np.ones((1, 1, 1, 1))],
        diff=1,
    )
    np.testing.assert_allclose(tops[0][0, 0], [[0, 0, 0, 0], [7, 8, 9, 10], [9, 10, 11, 0]], rtol=1e-6)
    np.testing.assert_allclose(diffs[1][0, 0], [[0, 0, 0, 0], [4, 4, 4, 4], [0, 0, 0, 0]], atol=1e-5)


def test_multibox_loss_of_certain_scores_is_limited() -> None:
    priors = np.array([[0.1, 0.1, 0.4, 0.4, 0.5, 0.5, 0.9, 0.9], [0.1] * 8])[None]
    truth = np.array([0, 1, 0, 0.1, 0.1, 0.4, 0.4, 0]).reshape(1, 1, 1, 8)
    scores = np.array([[300.0, 0, 0, 0]])  # two priors of two classes
    tops, diffs, _ = run(
        'type: "MultiBoxLoss" multibox_loss_param { num_classes: 2 mining_type: NONE }',
        [np.zeros((1, 8)), scores, priors, truth],
        diff=1,
    )
    np.testing.assert_allclose(tops[0], 87.33654 + np.log(2), rtol=1e-6)
    np.testing.assert_allclose(diffs[1], np.array([[1, -1, -0.5, 0.5]]), atol=1e-6)


def test_multibox_with_one_truth_and_crossing_priors_of_each_class() -> None:
    """Priors that leave the image were taken for the last but one annotated box."""
    priors = np.array([[0.1, 0.1, 0.4, 0.4, -0.5, 0.5, 0.9, 0.9], [0.1] * 8])[None]
    truth = np.array([0, 1, 0, 0.1, 0.1, 0.4, 0.4, 0]).reshape(1, 1, 1, 8)
    for more in ("", "use_prior_for_matching: false"):
        tops, *_ = run(
            'type: "MultiBoxLoss" multibox_loss_param { num_classes: 2 mining_type: NONE'
            f" share_location: false ignore_cross_boundary_bbox: true {more} }}",
            [np.zeros((1, 16)), np.zeros((1, 4)), priors, truth],
        )
        np.testing.assert_allclose(tops[0], 2 * np.log(2), rtol=1e-6)


def test_regions_are_rounded_as_c_rounds() -> None:
    """The largest float below one half is 0, where adding one half would round it up."""
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    below = np.nextafter(np.float32(0.5), np.float32(0))
    tops, *_ = run(
        'type: "ROIPooling" roi_pooling_param { pooled_h: 1 pooled_w: 1 }',
        [x, np.array([[0, 0, 0, below, 0.5]])],
    )
    assert tops[0].item() == 4


def test_dense_block_drops_less_than_all() -> None:
    text = (
        'type: "DenseBlock" denseblock_param {{ numTransition: 1 growthRate: 2'
        " use_dropout: true dropout_amount: {} }}"
    )
    with pytest.raises(LayerError, match=r"dropout_amount.* must be at least 0 and below 1; got 1"):
        make_layer(text.format(1), (2, 3, 5, 4))
    make_layer(text.format(0.5), (2, 3, 5, 4))
