"""SSD's layers: what cannot be is said, and corners that the recorded figures do not reach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Case, build, make_layer

from caffe.errors import CaffeError, LayerError, ShapeError

OUT = 'type: "DetectionOutput" detection_output_param { num_classes: 3 '
LOSS = 'type: "MultiBoxLoss" multibox_loss_param { num_classes: 3 '
PRIOR = 'type: "PriorBox" prior_box_param { '
SSD = [(2, 20), (2, 15), (1, 2, 20)]


@pytest.mark.parametrize(
    ("text", "shapes", "says"),
    [
        ('type: "Permute" permute_param { order: 1 order: 1 }', [(2, 3, 4)], "twice"),
        ('type: "Permute" permute_param { order: 3 }', [(2, 3, 4)], "below the number of axes"),
        ('type: "Normalize" norm_param { } normalize_param { }', [(2, 3)], "only one"),
        ('type: "Normalize" normalize_param { normalize_type: "L3" }', [(2, 3)], '"L2" or "L1"'),
        ('type: "Normalize" normalize_param { channel_shared: true }', [(2, 3)], "SSD's layer"),
        ('type: "Normalize" norm_param { normalize_type: "L2" }', [(2, 3)], "happynear's"),
        (PRIOR + "}", [(1, 2, 3, 4)] * 2, "min_size"),
        (PRIOR + "min_size: -1 }", [(1, 2, 3, 4)] * 2, "above 0"),
        (PRIOR + "min_size: 5 max_size: 5 }", [(1, 2, 3, 4)] * 2, "above its min_size"),
        (PRIOR + "min_size: 5 max_size: 6 max_size: 7 }", [(1, 2, 3, 4)] * 2, "as many values"),
        (PRIOR + "min_size: 5 variance: 1 variance: 2 }", [(1, 2, 3, 4)] * 2, "1 or 4 values"),
        (PRIOR + "min_size: 5 step: 1 step_h: 2 step_w: 2 }", [(1, 2, 3, 4)] * 2, "exclude each other"),
        (PRIOR + "min_size: 5 img_h: 2 }", [(1, 2, 3, 4)] * 2, "img_w"),
        (PRIOR + "box_width: 5 }", [(1, 2, 3, 4)] * 2, "as many values as box_height"),
        (OUT + "}", [(2, 19), (2, 15), (1, 2, 20)], "5 priors need 5 × 4 = 20 locations"),
        (OUT + "}", [(2, 20), (2, 14), (1, 2, 20)], "confidences"),
        (OUT + "share_location: false }", SSD, "locations"),
        (OUT + "background_label_id: -1 }", SSD, "background_label_id"),
        (OUT + "nms_param { eta: 0 } }", SSD, "eta"),
        (OUT + "nms_param { nms_threshold: -1 } }", SSD, "nms_threshold"),
        ('type: "DetectionOutput"', SSD, "num_classes"),
        (LOSS + "}", [*SSD, (1, 1, 4, 7)], "1×1×M×8"),
        (LOSS + "share_location: false }", [(2, 60), (2, 15), (1, 2, 20), (1, 1, 4, 8)], "mining_type"),
        (LOSS + "do_neg_mining: false }", [*SSD, (1, 1, 4, 8)], "contradicts mining_type"),
        (LOSS + "map_object_to_agnostic: true }", [*SSD, (1, 1, 4, 8)], "must be 2"),
        (LOSS + "mining_type: HARD_EXAMPLE sample_size: 0 }", [*SSD, (1, 1, 4, 8)], "sample_size"),
        ('type: "DetectionEvaluate"', [(1, 1, 3, 7), (1, 1, 2, 8)], "num_classes"),
        (
            'type: "DetectionEvaluate" detection_evaluate_param { num_classes: 2 overlap_threshold: 0 }',
            [(1, 1, 3, 7), (1, 1, 2, 8)],
            "overlap_threshold",
        ),
        ('type: "SmoothL1Loss" smooth_l1_loss_param { sigma: 0 }', [(2, 3)] * 2, "sigma"),
        ('type: "SmoothL1Loss" smooth_l1_loss_param { turn_point: 1 }', [(2, 3)] * 2, "another fork"),
        ('type: "SmoothL1Loss" smooth_l1_loss_param { } smoothl1_param { }', [(2, 3)] * 2, "different forks"),
        ('type: "SmoothL1Loss"', [(2, 3), (2, 4)], "shape"),
        ('type: "BN" bn_param { scale_filler { } slope_filler { } }', [(2, 3)], "different forks' BN"),
        ('type: "BN" bn_param { bn_mode: INFERENCE eps: 0.1 }', [(2, 3)], "different forks' BN"),
        ('type: "BN" bn_param { bn_mode: LEARN decay: 0.1 }', [(2, 3)], "SegNet's"),
        ('type: "Upsample" upsample_param { scale: 2 mode: NEAREST }', [(1, 2, 3, 4)], "different forks"),
        ('type: "Upsample" upsample_param { upsample_h: 3 upsample_w: 4 }', [(1, 2, 3, 4)], "needs the mask"),
        ('type: "Upsample" upsample_param { scale: 1 }', [(1, 2, 3, 4)] * 2, "at least 2"),
        ('type: "Upsample" upsample_param { scale: 3 pad_out_h: true }', [(1, 2, 3, 4)] * 2, "scale of 2"),
        ('type: "Upsample"', [(1, 2, 3, 4), (1, 2, 3, 5)], "mask must have the shape"),
        ('type: "Upsample" upsample_param { height: 4 }', [(1, 2, 3, 4)], "must both be given"),
        ('type: "Interp"', [(1, 2, 3, 4)], "size is missing"),
        ('type: "Interp" interp_param { zoom_factor: 0 }', [(1, 2, 3, 4)], "zoom_factor"),
        ('type: "Interp" interp_param { zoom_factor: 2 pad_beg: 1 }', [(1, 2, 3, 4)], "pad_beg"),
        (
            'type: "Interp" interp_param { zoom_factor: 2 pad_beg: -2 pad_end: -1 }',
            [(1, 2, 3, 4)],
            "leaves nothing",
        ),
        ('type: "Interp" interp_param { height: 0 width: 3 }', [(1, 2, 3, 4)], "height"),
        ('type: "Reorg" reorg_param { stride: 2 }', [(1, 4, 3, 4)], "multiples of the stride"),
        ('type: "Reorg" reorg_param { stride: 2 }', [(1, 5, 4, 4)], "multiple of 4"),
        ('type: "Reorg"', [(1, 4, 4, 4)], "stride"),
        (
            'type: "ShuffleChannel" shuffle_channel_param { group: 4 }',
            [(1, 6, 2, 2)],
            "must divide the 6 channels",
        ),
        ('type: "Axpy"', [(2, 4), (2, 3, 4, 5), (2, 3, 4, 5)], "N×C"),
        ('type: "Axpy"', [(2, 3), (2, 3, 4, 5), (2, 3, 4, 6)], "one shape"),
        (
            'type: "Yolov3DetectionOutput" yolov3_detection_output_param { mask_group_num: 1 }',
            [(1, 75, 3, 3), (1, 75, 6, 6)],
            "number of bottoms",
        ),
        ('type: "RegionLoss" region_loss_param { num_class: 2 }', [(1, 35, 3, 3), (1, 10)], "anchors"),
        ('type: "RegionLoss" region_loss_param { num_class: 2 }', [(1, 34, 3, 3), (1, 10)], "= 35"),
    ],
)
def test_bad_layers(text: str, shapes: list[tuple[int, ...]], says: str) -> None:
    with pytest.raises((LayerError, ShapeError), match=says.replace("(", r"\(")) as caught:
        make_layer(text, *shapes)
    assert "layer 'l'" in str(caught.value)


def annotations(label: float) -> Any:
    rows = np.array([[0, 1, 0, 0.1, 0.1, 0.5, 0.5, 0], [1, label, 0, 0.2, 0.2, 0.6, 0.7, 0]])
    return lambda rng: rows.reshape(1, 1, 2, 8)


def boxes_of_priors(rng: np.random.Generator) -> Any:
    low = rng.uniform(0, 0.5, (5, 2))
    return np.stack([np.concatenate([low, low + 0.3], 1), np.full((5, 4), 0.1)]).reshape(1, 2, 20)


@pytest.mark.parametrize("label", [0, 3, -2])
def test_bad_labels(label: int) -> None:
    built = build(Case("bad", LOSS + "}", [(2, 20), (2, 15), boxes_of_priors, annotations(label)]))
    with pytest.raises(LayerError, match=rf"label of image 1 .*\[0, 2\].* got {label}"):
        built.layer.forward(built.bottoms, built.tops)


def test_background_among_detections() -> None:
    text = 'type: "DetectionEvaluate" detection_evaluate_param { num_classes: 3 }'
    built = build(Case("bad", text, [lambda rng: np.zeros((1, 1, 2, 7)), annotations(1)], gradcheck=False))
    with pytest.raises(LayerError, match="background's label 0"):
        built.layer.forward(built.bottoms, built.tops)


def test_mask_out_of_range() -> None:
    built = build(Case("bad", 'type: "Upsample"', [(1, 2, 3, 4), lambda rng: np.full((1, 2, 3, 4), 48)]))
    with pytest.raises(LayerError, match=r"\[0, 47\].*got 48"):
        built.layer.forward(built.bottoms, built.tops)


def test_reorg_there_and_back() -> None:
    x = np.arange(1 * 8 * 4 * 6, dtype=np.float32).reshape(1, 8, 4, 6)
    there = build(Case("r", 'type: "Reorg" reorg_param { stride: 2 }', [lambda rng: x]))
    there.layer.forward(there.bottoms, there.tops)
    y = there.tops[0].data.copy()
    back = build(Case("r", 'type: "Reorg" reorg_param { stride: 2 reverse: true }', [lambda rng: y]))
    back.layer.forward(back.bottoms, back.tops)
    assert np.array_equal(back.tops[0].data, x)


def test_other_tops() -> None:
    """More tops than a fork's layer has."""
    with pytest.raises(LayerError, match="tops"):
        make_layer('type: "BN" bn_param { slope_filler { } }', (2, 3), tops=2)
    with pytest.raises(LayerError, match="one top"):
        make_layer('type: "Normalize" norm_param { }', (2, 3), tops=2)


def three_detections(folder: Path, kind: str) -> Any:
    (folder / "labels").write_text(
        'item { name: "none" label: 0 } item { name: "cat" label: 1 } item { name: "7" label: 2 }'
    )
    (folder / "sizes").write_text("first 100 200\n000012 50 40\n")
    text = OUT.replace("3 ", "3 nms_param { nms_threshold: 0.1 } confidence_threshold: 0.5 ") + (
        f'save_output_param {{ output_directory: "{folder / "out"}" output_name_prefix: "d_" output_format: "{kind}"'
        f' label_map_file: "{folder / "labels"}" name_size_file: "{folder / "sizes"}" }} }}'
    )
    priors = np.array([[0.1, 0.2, 0.5, 0.6], [0.5, 0.5, 1.2, 0.9]])
    scores = np.array([[[0, 0.9, 0.1], [0.3, 0.1, 0.6]], [[0, 0.8, 0.1], [1, 0, 0]]])
    case = Case(
        "files",
        text,
        [
            lambda rng: np.zeros((2, 8)),
            lambda rng: scores.reshape(2, 6),
            lambda rng: np.stack([priors, np.ones((2, 4))]).reshape(1, 2, 8),
        ],
        phase="TEST",
        gradcheck=False,
    )
    built = build(case)
    built.layer.forward(built.bottoms, built.tops)
    return folder / "out"


def test_voc_files(tmp_path: Path) -> None:
    out = three_detections(tmp_path, "VOC")
    assert (out / "d_cat.txt").read_text().splitlines() == ["first 0.9 20 20 100 60", "000012 0.8 4 10 20 30"]
    assert (out / "d_7.txt").read_text() == "first 0.6 100 50 200 90\n"


def test_coco_and_ilsvrc_files(tmp_path: Path) -> None:
    found = json.loads((three_detections(tmp_path, "COCO") / "d_.json").read_text())
    assert [(f["image_id"], f["category_id"], round(f["score"], 3)) for f in found] == [
        ("first", "cat", 0.9),
        ("first", 7, 0.6),
        (12, "cat", 0.8),
    ]
    np.testing.assert_allclose(found[1]["bbox"], [100, 50, 100, 40], rtol=1e-5)
    lines = (three_detections(tmp_path, "ILSVRC") / "d_.txt").read_text().splitlines()
    assert lines == ["1 1 0.9 20 20 100 60", "1 2 0.6 100 50 200 90", "2 1 0.8 4 10 20 30"]


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match="output_format"):
        three_detections(tmp_path, "XML")


def test_evaluate_in_pixels(tmp_path: Path) -> None:
    """With a size file overlaps count both end pixels, and sizes go round."""
    (tmp_path / "sizes").write_text("a 11 11\nb 101 101\n")
    text = (
        'type: "DetectionEvaluate" detection_evaluate_param { num_classes: 2 overlap_threshold: 0.15'
        f' name_size_file: "{tmp_path / "sizes"}" }}'
    )
    # of 11 × 11 pixels two columns of width 2 + 1 each share one: 1/5 with, 0 without the end pixels
    found = np.array([[0, 1, 0.9, 0, 0, 2 / 11, 1]]).reshape(1, 1, 1, 7)
    truth = np.array([[0, 1, 0, 2 / 11, 0, 4 / 11, 1, 0]]).reshape(1, 1, 1, 8)
    built = build(Case("e", text, [lambda rng: found, lambda rng: truth], gradcheck=False))
    results = []
    for _ in range(3):
        built.layer.forward(built.bottoms, built.tops)
        results.append(built.tops[0].data[0, 0, 1, 3:].tolist())
    assert results == [[1, 0], [0, 1], [1, 0]]
