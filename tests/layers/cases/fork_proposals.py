"""Proposals and targets of Cascade R-CNN and py-faster-rcnn."""

import numpy as np
from harness import Case


def regions(count: int, images: int = 1):
    def make(rng: np.random.Generator) -> np.ndarray:
        start = rng.uniform(0, 30, (count, 2))
        image = np.sort(rng.integers(0, images, (count, 1)), 0)
        return np.concatenate([image, start, start + rng.uniform(8, 30, (count, 2))], 1)

    return make


def offsets(*shape: int):
    return lambda rng: rng.normal(0, 0.1, shape)


def matches(rng: np.random.Generator) -> np.ndarray:
    boxes = regions(5)(rng)
    return np.concatenate([[[1], [0], [2], [1], [0]], boxes[:, 1:], rng.uniform(0.5, 0.9, (5, 1))], 1)


def truth(rng: np.random.Generator) -> np.ndarray:
    boxes = regions(2)(rng)
    return np.concatenate([boxes, [[1, 0], [2, 0]]], 1)


def boxes(rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([regions(2)(rng)[:, 1:], [[1], [2]]], 1)


def probabilities(*shape: int):
    def make(rng: np.random.Generator) -> np.ndarray:
        x = np.exp(rng.standard_normal(shape))
        return x / x.sum(1, keepdims=True)

    return make


def maps(rng: np.random.Generator) -> np.ndarray:
    label = rng.integers(0, 3, (2, 1, 4, 5))
    return np.concatenate(
        [
            label,
            rng.uniform(10, 40, (2, 2, 4, 5)),
            rng.uniform(10, 30, (2, 2, 4, 5)),
            rng.random((2, 1, 4, 5)) * 0.1,
        ],
        1,
    )


def image(rng: np.random.Generator) -> np.ndarray:
    return np.array([[64, 80, 1]])


FIELDS = "field_w: 16 field_w: 24 field_h: 20 field_h: 12 stride: 8"
MOVES = "bbox_reg_param {" + " bbox_mean: 0" * 4 + " bbox_std: 0.1 bbox_std: 0.1 bbox_std: 0.2 bbox_std: 0.2"
GROUPS = f"cls_num: 2 {FIELDS} field_whr: 8 field_xyr: 1 objectness: true"
LOSS = f'type: "DetectionGroupLoss" detection_group_loss_param {{ {GROUPS} bg_threshold: 0.3 bg_multiple: 1'
RPN = 'type: "RPN{}" python_param {{ param_str: "\'feat_stride\': 16" }}'

CASES = [
    Case("decode_bbox", f'type: "DecodeBBox" {MOVES} }}', [offsets(5, 8), regions(5)], gradcheck=False),
    Case("decode_bbox_matches", 'type: "DecodeBBox"', [offsets(5, 8), regions(5), matches], gradcheck=False),
    Case(
        "box_group_output",
        f'type: "BoxGroupOutput" {MOVES} }} box_group_output_param {{ box_group_param {{ {FIELDS} }}'
        " fg_thr: 0.3"
        " iou_thr: 0.7 field_whr: 8 field_xyr: 1 max_nms_num: 40 max_post_nms_num: 9 min_size: 5 }",
        [probabilities(2, 2, 4, 5), offsets(2, 4, 4, 5)],
        tops=2,
        gradcheck=False,
    ),
    Case(
        "frcnn_output",
        f'type: "FrcnnOutput" {MOVES} cls_aware: false }} frcnn_output_param {{ conf_thr: 0.1 iou_thr:'
        " 0.5 max_det_num: 4 }",
        [probabilities(5, 3), offsets(5, 8), regions(5), lambda rng: np.array([[50, 60]])],
        gradcheck=False,
    ),
    Case(
        "scale_route",
        'type: "ScaleRoute" scale_route_param { low_scale: 10 high_scale: 20 }',
        [regions(5), (5, 2, 3)],
        tops=2,
        gradcheck=False,
    ),
    Case(
        "scale_route_none",
        'type: "ScaleRoute" scale_route_param { low_scale: 500 }',
        [regions(5)],
        gradcheck=False,
    ),
    Case(
        "hard_mining",
        'type: "HardMining" hard_mining_param { num_image: 2 num_roi_per_image: 2 }',
        [lambda rng: rng.permutation(6), regions(6, 2), (6, 3)],
        tops=2,
        gradcheck=False,
    ),
    Case(
        "bbox_accuracy",
        f'type: "BboxAccuracy" {MOVES} cls_aware: false }}',
        [offsets(5, 8), regions(5), matches],
        tops=2,
        gradcheck=False,
    ),
    Case(
        "detection_group_accuracy",
        f'type: "DetectionGroupAccuracy" detection_group_accuracy_param {{ {GROUPS} }}',
        [(2, 2, 4, 5), offsets(2, 4, 4, 5), maps],
        tops=2,
        gradcheck=False,
    ),
    Case(
        "detection_group_loss",
        LOSS
        + ' batch_size: 64 bbox_loss_type: "Euclidean_L2" neg_mining_type: "random" pos_neg_weighted: true }',
        [(2, 2, 4, 5), offsets(2, 4, 4, 5), maps],
        random=True,
        gradcheck=False,  # the second value and the offsets beyond the bounds have none
    ),
    Case(
        "detection_group_loss_hard",
        LOSS + ' batch_size: 8 bbox_loss_type: "Smooth_L1" neg_mining_type: "bootstrap" }',
        [(2, 2, 4, 5), offsets(2, 4, 4, 5), maps],
        random=True,
        gradcheck=False,
    ),
    Case(
        "proposal_target",
        f'type: "ProposalTarget" {MOVES} cls_aware: false }} proposal_target_param {{ batch_size: -1'
        " cls_num: 4 }",
        [regions(5), truth],
        tops=7,
        gradcheck=False,
        random=True,
    ),
    Case(
        "proposal_target_classes",
        'type: "ProposalTarget" proposal_target_param { batch_size: 4 cls_num: 3 }',
        [regions(7), truth],
        tops=6,
        gradcheck=False,
        random=True,
    ),
    Case(
        "rpn_proposal",
        RPN.format("Proposal"),
        [(1, 18, 4, 5), offsets(1, 36, 4, 5), image],
        tops=2,
        gradcheck=False,
    ),
    Case(
        "rpn_anchor_target",
        "type: \"RPNAnchorTarget\" python_param { param_str: \"{'feat_stride': 16, 'scales': [1, 2]}\" }",
        [(1, 12, 4, 5), boxes, image],
        tops=4,
        gradcheck=False,
        random=True,
    ),
    Case(
        "rpn_proposal_target",
        'type: "RPNProposalTarget" python_param { param_str: "\'num_classes\': 4" }',
        [regions(6), boxes],
        tops=5,
        gradcheck=False,
        random=True,
    ),
]
CASES.append(
    Case(
        "eval_detection",
        'type: "EvalDetection" eval_detection_param { num_class: 3 num_object: 2 nms: 0.4 biases: 1 biases: 2'
        " biases: 2 biases: 1 }",
        [(2, 16, 4, 5), lambda rng: np.array([[[1, 0.5, 0.5, 0.4, 0.4]], [[2, 0.3, 0.6, 0.2, 0.5]]])],
        gradcheck=False,
    )
)
