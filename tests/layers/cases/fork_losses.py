"""Losses of the forks."""

import numpy as np
from harness import Case


def labels(classes: int, *shape: int):
    return lambda rng: rng.integers(0, classes, shape)


def shares(*shape: int):
    return lambda rng: rng.random(shape)


def text(rng: np.random.Generator) -> np.ndarray:
    return np.array([[1, 2, 0], [3, 0, 0], [4, 1, 4]])  # 0 is blank


CASES = [
    Case("smooth_l1_ohem", 'type: "SmoothL1LossOHEM"', [(3, 4, 2, 1), (3, 4, 2, 1)], tops=2),
    Case(
        "smooth_l1_ohem_weights",
        'type: "SmoothL1LossOHEM" loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 7 }',
        [(3, 4), (3, 4), (3, 4)],
        gradcheck=False,  # the weight is not applied again in backward
    ),
    Case(
        "softmax_ohem",
        'type: "SoftmaxWithLossOHEM" loss_param { ignore_label: 1 }',
        [(3, 4, 5), labels(4, 3, 5)],
        tops=3,
    ),
    Case("focal", 'type: "FocalLoss"', [(3, 4, 2, 5), labels(4, 3, 2, 5)]),
    Case(
        "focal_axis",
        'type: "FocalLoss" focal_loss_param { axis: -1 alpha: 0.5 gamma: 1.5 } loss_param'
        " { ignore_label: 2 }",
        [(3, 2, 4), labels(4, 3, 2)],
        tops=2,
    ),
    Case(
        "focal_plus",
        'type: "FocalLoss" focal_loss_param { type: ONEADDP gamma: 1.5 }',
        [(3, 4), labels(4, 3)],
    ),
    Case(
        "focal_plus_alpha",
        'type: "FocalLoss" focal_loss_param { type: ONEADDP alpha: 0.7 }',
        [(3, 4), labels(4, 3)],
        gradcheck=False,  # the derivative is that of alpha 1
    ),
    Case(
        "center",
        'type: "CenterLoss" center_loss_param { num_output: 4 center_filler { type: "xavier" } }',
        [(3, 5), labels(4, 3)],
        gradcheck=False,  # the centres' gradient is no derivative
    ),
    Case(
        "center_l1",
        'type: "CenterLoss" center_loss_param { num_output: 4 distance_type: "L1" }',
        [(3, 5, 2), labels(4, 3)],
        gradcheck=False,
    ),
    Case("triplet", 'type: "TripletLoss" triplet_loss_param { margin: 2 }', [(3, 4), (3, 4), (3, 4)]),
    Case("l1", 'type: "L1Loss"', [(2, 3, 4, 5), (2, 3, 4, 5)]),
    Case(
        "l1_location",
        'type: "L1Loss" l1_loss_param { l2_per_location: true l2_prescale_by_channels: true'
        " normalize_by_num_entries: true }",
        [(2, 3, 4, 5)],
    ),
    Case("dice", 'type: "DiceCoefLoss"', [shares(2, 3, 4, 5), labels(3, 2, 1, 4, 5)], gradcheck=False),
    Case(
        "dice_batch",
        'type: "DiceCoefLoss" dice_coef_loss_param'
        " { generalization: MULTICLASS_WEIGHTED_BATCH ignore_label: 0 }",
        [shares(2, 3, 4, 5), labels(3, 2, 1, 4, 5)],
        gradcheck=False,  # not divided by the batch
    ),
    Case(
        "ctc",
        'type: "CtcLoss" ctc_loss_param { alphabet_size: 5 time_step: 6 }',
        [(6, 3, 5), text],
        gradcheck=False,  # the mean's value, the sum's gradient
    ),
    Case(
        "ctc_alias",
        'type: "CTCLoss" ctc_loss_param { alphabet_size: 5 time_step: 4 }',
        [(6, 3, 5), text],
        gradcheck=False,
    ),
    Case("warp_ctc", 'type: "WarpCTCLoss"', [(6, 3, 5), text], gradcheck=False),
    Case("ctc_greedy_decoder", 'type: "CTCGreedyDecoder"', [(6, 3, 5)], gradcheck=False),
    Case("labelsequence_accuracy", 'type: "LabelsequenceAccuracy"', [(3, 6, 5), text], gradcheck=False),
    Case(
        "margin_inner_product",
        'type: "MarginInnerProduct" margin_inner_product_param { num_output: 4 type: TRIPLE base: 10 }',
        [(3, 5), labels(4, 3)],
        tops=2,
        gradcheck=False,  # not the margin's derivative
    ),
    Case(
        "label_specific_add",
        'type: "LabelSpecificAdd" label_specific_add_param { bias: -0.35 }',
        [(3, 4), labels(4, 3)],
        in_place=False,
    ),
    Case(
        "euclidean_loss_heatmap",
        'type: "EuclideanLossHeatmap"',
        [(2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 8, 10)],
        gradcheck=False,
    ),
    Case(
        "yolo_seg",
        'type: "YoloSeg" yolo_seg_param { object_scale: 0.2 }',
        [(2, 3, 4, 5), shares(2, 3, 4, 5), shares(1, 3)],
        gradcheck=False,  # a cross entropy's gradient
    ),
    Case("yolo_seg_no_weights", 'type: "YoloSeg"', [(3, 2, 4), shares(3, 8)], gradcheck=False),
    Case(
        "kernel_loss",
        'type: "KernelLoss" kernel_loss_param { sigma_sq: 1.5 }',
        [(5, 3), (5, 3, 1, 1), labels(2, 5), labels(2, 5, 1)],
    ),
]
