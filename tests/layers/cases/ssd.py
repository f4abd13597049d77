"""Layers of SSD and of the detectors around it, and the forks' enlarging, normalizing and depthwise
layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from harness import Case

from caffe.data.sources.database import create
from caffe.proto import caffe_pb2

Rng = np.random.Generator


def boxes(rng: Rng, count: int) -> Any:
    """Boxes (count × 4) inside the unit square."""
    low = rng.uniform(0, 0.6, (count, 2))
    return np.concatenate([low, low + rng.uniform(0.1, 0.4, (count, 2))], 1)


def priors(count: int) -> Any:
    def make(rng: Rng) -> Any:
        variances = np.tile([0.1, 0.1, 0.2, 0.2], (count, 1))
        return np.stack([boxes(rng, count), variances]).reshape(1, 2, -1)

    return make


def annotations(*rows: tuple[int, int], difficult: int = 0) -> Any:
    """Annotated boxes: (image, label) each."""

    def make(rng: Rng) -> Any:
        found = np.zeros((1, 1, len(rows), 8))
        found[0, 0, :, :2] = rows
        found[0, 0, :, 3:7] = boxes(rng, len(rows))
        found[0, 0, :difficult, 7] = 1
        return found

    return make


def detections(*rows: tuple[int, int]) -> Any:
    def make(rng: Rng) -> Any:
        found = np.zeros((1, 1, len(rows), 7))
        found[0, 0, :, :2] = rows
        found[0, 0, :, 2] = rng.uniform(0, 1, len(rows))
        found[0, 0, :, 3:] = boxes(rng, len(rows))
        return found

    return make


def probabilities(images: int, count: int, classes: int) -> Any:
    return lambda rng: rng.dirichlet(np.ones(classes), (images, count)).reshape(images, -1)


def yolo_truth(images: int) -> Any:
    """Rows label, centre x, y, width, height; zeros after the last."""

    def make(rng: Rng) -> Any:
        rows = np.zeros((images, 300, 5))
        for i in range(images):
            rows[i, : i + 2, 0] = rng.integers(0, 3, i + 2)
            rows[i, : i + 2, 1:3] = rng.uniform(0.1, 0.9, (i + 2, 2))
            rows[i, : i + 2, 3:] = rng.uniform(0.1, 0.6, (i + 2, 2))
        return rows.reshape(images, 1, 300, 5)

    return make


def mask(shape: tuple[int, ...], size: int) -> Any:
    """Positions in planes of ``size``, all different."""

    def make(rng: Rng) -> Any:
        count = shape[2] * shape[3]
        planes = [rng.permutation(size)[:count] for _ in range(shape[0] * shape[1])]
        return np.array(planes).reshape(shape)

    return make


def annotated_data(folder: Path) -> str:
    """A database of one noise picture with one box."""
    record = caffe_pb2.AnnotatedDatum(type=caffe_pb2.AnnotatedDatum.BBOX)
    record.datum.channels, record.datum.height, record.datum.width = 3, 4, 5
    record.datum.data = np.random.default_rng(0).integers(0, 256, 60).astype(np.uint8).tobytes()
    box = record.annotation_group.add(group_label=2).annotation.add().bbox
    box.xmin, box.ymin, box.xmax, box.ymax = 0.1, 0.2, 0.5, 0.9
    with create(folder / "annotated", "lmdb") as writer:
        writer.put(b"0", record.SerializeToString())
    return (
        f'type: "AnnotatedData" data_param {{ source: "{folder / "annotated"}" backend: LMDB batch_size: 2 }}'
        " transform_param { resize_param { height: 6 width: 7 } mirror: true }"
    )


def video_data(folder: Path) -> str:
    """A video of three gray frames."""
    path = folder / "frames.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (16, 8))
    for i in range(3):
        writer.write(np.full((8, 16, 3), 50 * i, np.uint8))
    writer.release()
    video = f'video_type: VIDEO video_file: "{path}"'
    return f'type: "VideoData" video_data_param {{ {video} }} data_param {{ batch_size: 2 }}'


TRUTH = annotations((0, 1), (0, 2), (1, 3), difficult=1)
BOX = 'type: "MultiBoxLoss" multibox_loss_param { num_classes: 4 code_type: CENTER_SIZE '
PRIOR = 'type: "PriorBox" prior_box_param { '
OUT = 'type: "DetectionOutput" detection_output_param { num_classes: 4 code_type: CENTER_SIZE '
REGION = (
    'type: "RegionLoss" region_loss_param { num_class: 3 num: 2 biases: 1 biases: 2'
    " biases: 3 biases: 1 rescore: 0 }"
)
YOLOV3 = (
    'type: "Yolov3" yolov3_param { num_class: 3 num: 2 biases: 10 biases: 20 biases: 30 biases: 10 biases: 50'
    " biases: 60 mask: 0 mask: 2 anchors_scale: 16 use_logic_gradient: true }"
)
FILLERS = 'slope_filler { type: "uniform" min: 0.5 max: 2 } bias_filler { type: "gaussian" }'


def loss(name: str, more: str, gradcheck: bool = True, priors_count: int = 7) -> Case:
    return Case(
        name,
        BOX + more,
        [(2, priors_count * 4), (2, priors_count * 4), priors(priors_count), TRUTH],
        gradcheck=gradcheck,
    )


YOLO_V2_LOSS = (
    'type: "YoloV2Loss" yolo_v2_loss_param { num_classes: 3 num_object: 2'
    " anchors: 1 anchors: 2 anchors: 3 anchors: 1.5 }"
)
YOLO_V3_LOSS = (
    'type: "YoloV3Loss" yolo_v3_loss_param { num_classes: 3 num_object: 2 total_object: 3 mask: 0 mask: 2'
    " anchors: 8 anchors: 16 anchors: 20 anchors: 10 anchors: 30 anchors: 20 }"
)


def cell_labels(rng):
    """Of each of 4 × 4 cells: nothing, whether there is a box, its label, and the box, two in the second image."""
    values = np.zeros((2, 7 * 16))
    for image, cell in ((0, 5), (1, 2), (1, 11)):
        values[image, 16 + cell], values[image, 32 + cell] = 1, rng.integers(0, 3)
        centre = (np.array([cell % 4, cell // 4]) + rng.uniform(0.1, 0.9, 2)) / 4
        values[image, 48 + 4 * cell : 52 + 4 * cell] = [*centre, *rng.uniform(0.2, 0.6, 2)]
    return values


CASES = [
    Case("permute", 'type: "Permute" permute_param { order: 0 order: 2 order: 3 order: 1 }', [(2, 3, 4, 5)]),
    Case("permute_prefix", 'type: "Permute" permute_param { order: 1 }', [(2, 3, 4)]),
    Case("permute_identity", 'type: "Permute"', [(2, 3, 4)], in_place=False),
    Case("normalize", 'type: "Normalize"', [(2, 3, 4, 5)]),
    Case(
        "normalize_channels",
        'type: "Normalize" norm_param { across_spatial: false channel_shared: false eps: 0.1 }',
        [(2, 3, 4, 5)],
        gradcheck=False,  # the original's gradient is not the derivative where scales differ
    ),
    Case("normalize_flat", 'type: "Normalize" norm_param { across_spatial: false }', [(2, 5)]),
    Case("normalize_l1", 'type: "Normalize" normalize_param { normalize_type: "L1" }', [(2, 3, 4, 5)]),
    Case(
        "normalize_length",
        'type: "Normalize" normalize_param { }',
        [(2, 3, 4, 5)],
        tops=2,
        gradcheck=False,  # the length's gradient does not count
    ),
    Case(
        "normalize_length_counts",
        'type: "Normalize" normalize_param { bp_norm: true }',
        [(2, 3, 4, 5)],
        tops=2,
    ),
    Case(
        "normalize_length_l1",
        'type: "Normalize" normalize_param { normalize_type: "L1" bp_norm: true }',
        [(2, 3, 4, 5)],
        tops=2,
    ),
    Case("normalize_older", 'type: "Normalize" softmax_param { normalize_type: "L2" }', [(2, 3, 4, 5)]),
    Case(
        "prior_box",
        PRIOR + "min_size: 7.5 max_size: 12 aspect_ratio: 2 variance: 0.2 clip: true }",
        [(1, 2, 3, 4), (1, 3, 30, 50)],
        gradcheck=False,
    ),
    Case(
        "prior_box_keras",
        PRIOR + "min_size: 7 max_size: 12 aspect_ratio: 2 aspect_ratio: 3 keras: true }",
        [(1, 2, 3, 4), (1, 3, 30, 50)],
        gradcheck=False,
    ),
    Case(
        "prior_box_steps",
        PRIOR + "min_size: 7 step_h: 8 step_w: 9 img_h: 31 img_w: 52 yx_order: true }",
        [(1, 2, 3, 4), (1, 3, 30, 50)],
        gradcheck=False,
    ),
    loss("multibox", "}"),
    loss("multibox_none", "mining_type: NONE }"),
    loss("multibox_l2_logistic", "loc_loss_type: L2 conf_loss_type: LOGISTIC }"),
    loss("multibox_hard", "mining_type: HARD_EXAMPLE sample_size: 4 }"),
    loss(
        "multibox_hard_logistic_nms",
        "conf_loss_type: LOGISTIC mining_type: HARD_EXAMPLE nms_param { top_k: 5 } }",
    ),
    loss("multibox_predictions", "use_prior_for_matching: false bp_inside: true mining_type: NONE }"),
    loss("multibox_variance", "encode_variance_in_target: true use_difficult_gt: false }", gradcheck=False),
    loss("multibox_corner_size", "ignore_cross_boundary_bbox: true match_type: BIPARTITE }"),
    Case(
        "multibox_no_share",
        BOX + "share_location: false mining_type: NONE }",
        [(2, 7 * 16), (2, 28), priors(7), TRUTH],
    ),
    Case(
        "multibox_refine",
        BOX + "objectness_score: 0.3 }",
        [(2, 28), (2, 28), priors(7), TRUTH, probabilities(2, 7, 2), (2, 28)],
    ),
    Case(
        "multibox_refine_hard",
        BOX + "mining_type: HARD_EXAMPLE sample_size: 5 objectness_score: 0.3 }",
        [(2, 28), (2, 28), priors(7), TRUTH, probabilities(2, 7, 2)],
    ),
    Case(
        "multibox_no_truth", BOX + "}", [(2, 28), (2, 28), priors(7), annotations((-1, 0))], gradcheck=False
    ),
    Case(
        "multibox_focal",
        BOX.replace("MultiBoxLoss", "MultiBoxFocalLoss") + "mining_type: NONE }",
        [(2, 28), (2, 28), priors(7), TRUTH],
    ),
    Case(
        "detection_output",
        OUT + "nms_param { nms_threshold: 0.4 top_k: 5 } keep_top_k: 6 confidence_threshold: 0.1 }",
        [(2, 28), probabilities(2, 7, 4), priors(7)],
        phase="TEST",
        gradcheck=False,
    ),
    Case(
        "detection_output_no_share",
        OUT + "share_location: false nms_param { nms_threshold: 0.6 eta: 0.9 } }",
        [(2, 112), probabilities(2, 7, 4), priors(7)],
        phase="TEST",
        gradcheck=False,
    ),
    Case(
        "detection_output_refine",
        OUT + "objectness_score: 0.3 }",
        [(2, 28), probabilities(2, 7, 4), priors(7), probabilities(2, 7, 2), (2, 28)],
        phase="TEST",
        gradcheck=False,
    ),
    Case(
        "detection_output_no_permute",
        OUT + "no_permute: true }",
        [(2, 4, 1, 6), (2, 4, 2, 2), (2, 4, 2, 3), (2, 8, 2, 1), priors(10)],
        phase="TEST",
        gradcheck=False,
    ),
    Case(
        "detection_evaluate",
        'type: "DetectionEvaluate" detection_evaluate_param { num_classes: 4 evaluate_difficult_gt: false }',
        [detections((0, 1), (0, 1), (0, 3), (1, 3), (1, -1)), TRUTH],
        gradcheck=False,
    ),
    Case("smooth_l1", 'type: "SmoothL1Loss"', [(3, 4, 2), (3, 4, 2)]),
    Case(
        "smooth_l1_fast_rcnn",
        'type: "SmoothL1Loss" smooth_l1_loss_param { sigma: 3 abssum: false }',
        [(3, 4, 2)] * 4,
    ),
    Case("smooth_l1_each", 'type: "SmoothL1Loss"', [(3, 4, 2), (3, 4, 2)], tops=2),
    Case("smooth_l1_weights", 'type: "SmoothL1Loss"', [(3, 4, 2)] * 4, gradcheck=False),
    Case("smooth_l1_turn_point", 'type: "SmoothL1Loss" smoothl1_param { turn_point: 0.5 }', [(3, 4), (3, 4)]),
    Case("bn_segnet", 'type: "BN" bn_param { scale_filler { value: 2 } }', [(4, 3, 2, 5)], phase="TEST"),
    Case("bn_segnet_statistics", 'type: "BN"', [(4, 3, 2, 5)], tops=3),
    Case("bn_segnet_inference", 'type: "BN" bn_param { bn_mode: INFERENCE }', [(4, 3, 2, 5)], phase="TEST"),
    Case("bn_pspnet", f'type: "BN" bn_param {{ {FILLERS} }}', [(4, 3, 2, 5)]),
    # in TEST the forks' gradient is no derivative: tests/layers/normalization/test_bn_test_phase.py
    Case(
        "bn_pspnet_test",
        f'type: "BN" bn_param {{ {FILLERS} icnet: true }}',
        [(4, 3, 2, 5)],
        phase="TEST",
        gradcheck=False,
    ),
    Case("bn_pspnet_flat", f'type: "BN" bn_param {{ {FILLERS} }}', [(4, 3)]),
    Case(
        "bn_inverse",
        f'type: "BN" bn_param {{ {FILLERS} inverse_std: true }}',
        [(4, 3, 2, 5)],
        phase="TEST",
        gradcheck=False,
    ),
    Case("bn_happynear_old", 'type: "BN" bn_param { decay: 0.9 }', [(4, 3, 2, 5)]),
    Case("relu6", 'type: "ReLU6"', [lambda rng: rng.uniform(-9, 9, (2, 3, 4, 5))]),
    Case(
        "relu6_slope",
        'type: "ReLU6" relu6_param { negative_slope: 0.1 }',
        [lambda rng: rng.uniform(-9, 9, (2, 3, 4, 5))],
    ),
    Case("shuffle_channel", 'type: "ShuffleChannel" shuffle_channel_param { group: 3 }', [(2, 6, 4, 5)]),
    Case("axpy", 'type: "Axpy"', [(2, 3), (2, 3, 4, 5), (2, 3, 4, 5)]),
    Case("axpy_4d", 'type: "Axpy"', [(2, 3, 1, 1), (2, 3, 4, 5), (2, 3, 4, 5)]),
    Case("interp_zoom", 'type: "Interp" interp_param { zoom_factor: 3 }', [(2, 3, 4, 5)]),
    Case("interp_crop", 'type: "Interp" interp_param { height: 7 width: 6 pad_end: -1 }', [(2, 3, 4, 5)]),
    Case("interp_full_zoom", 'type: "Interp" interp_param { full_zoom_factor: 2 }', [(2, 3, 4, 5)]),
    Case(
        "interp_nearest", 'type: "Interp" interp_param { height: 7 width: 3 mode: NEAREST }', [(2, 3, 4, 5)]
    ),
    Case("interp_same", 'type: "Interp" interp_param { height: 4 width: 5 }', [(2, 3, 4, 5)]),
    Case("upsample_mask", 'type: "Upsample"', [(2, 3, 4, 5), mask((2, 3, 4, 5), 80)]),
    Case(
        "upsample_mask_size",
        'type: "Upsample" upsample_param { upsample_h: 7 upsample_w: 9 }',
        [(2, 3, 4, 5), mask((2, 3, 4, 5), 63)],
    ),
    Case("upsample_repeat", 'type: "Upsample" upsample_param { scale: 2 }', [(2, 3, 4, 5)]),
    Case("upsample_one", 'type: "Upsample"', [(2, 3, 4, 5)]),
    Case(
        "upsample_scales",
        'type: "Upsample" upsample_param { height_scale: 2 width_scale: 3 mode: NEAREST }',
        [(2, 3, 4, 5)],
    ),
    Case(
        "upsample_like",
        'type: "Upsample" upsample_param { mode: BILINEAR }',
        [(2, 3, 4, 5), (1, 1, 7, 8)],
        grad_bottoms=[0],
    ),
    Case("upsample_darknet", 'type: "UpsampleDarknet" upsample_darknet_param { stride: 2 }', [(2, 3, 4, 5)]),
    Case("reorg", 'type: "Reorg" reorg_param { stride: 2 }', [(2, 8, 4, 6)]),
    Case("reorg_3", 'type: "Reorg" reorg_param { stride: 3 }', [(1, 9, 6, 3)]),
    Case("reorg_reverse", 'type: "Reorg" reorg_param { stride: 2 reverse: true }', [(1, 16, 2, 3)]),
    Case(
        "depthwise_convolution",
        'type: "DepthwiseConvolution"'
        " convolution_param { num_output: 3 group: 3 kernel_size: 3 pad: 1 stride: 2 }",
        [(2, 3, 4, 5)],
    ),
    Case(
        "convolution_depthwise_other_outputs",
        'type: "ConvolutionDepthwise" convolution_param { num_output: 4 kernel_size: 2 group: 7 }',
        [(2, 3, 4, 5)],
    ),
    Case(
        "convolution_depthwise",
        'type: "ConvolutionDepthwise" convolution_param { num_output: 6 kernel_size: 2 }',
        [(2, 3, 4, 5)],
    ),
    Case(
        "yolo_detection_output",
        'type: "YoloDetectionOutput" yolo_detection_output_param { num_classes: 3 num_box: 2'
        " biases: 1 biases: 2 biases: 3 biases: 1 confidence_threshold: 0.3 }",
        [(2, 16, 4, 5), (2, 16, 2, 3)],
        gradcheck=False,
    ),
    Case(
        "yolov3_detection_output",
        'type: "Yolov3DetectionOutput" yolov3_detection_output_param { num_classes: 3 num_box: 2'
        " biases: 10 biases: 20 biases: 30 biases: 10 biases: 50 biases: 60 biases: 70 biases: 20"
        " mask: 2 mask: 3 mask: 0 mask: 1 anchors_scale: 16 anchors_scale: 8 confidence_threshold: 0.5 }",
        [(2, 16, 3, 2), (2, 16, 6, 4)],
        gradcheck=False,
    ),
    Case("region_loss", REGION, [(2, 16, 4, 5), yolo_truth(2)], gradcheck=False),
    Case("yolo_v2_loss", YOLO_V2_LOSS, [(2, 16, 4, 4), cell_labels], gradcheck=False),
    Case("yolo_v3_loss", YOLO_V3_LOSS, [(2, 16, 4, 4), cell_labels], gradcheck=False),
    Case("yolov3", YOLOV3, [(2, 16, 4, 5), yolo_truth(2)], gradcheck=False),
    Case("annotated_data", annotated_data, tops=2, gradcheck=False),
    Case("video_data", video_data, tops=2, gradcheck=False),
]
