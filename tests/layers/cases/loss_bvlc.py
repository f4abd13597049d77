"""BVLC's losses."""

from pathlib import Path

import numpy as np
from harness import Case

from caffe.proto import caffe_pb2


def labels(classes: int, *shape: int):  # type: ignore[no-untyped-def]
    return lambda rng: rng.integers(0, classes, shape)


def probabilities(rng: np.random.Generator) -> object:
    p = rng.uniform(0.1, 1, (4, 5))
    return p / p.sum(1, keepdims=True)


def targets(rng: np.random.Generator) -> object:
    return rng.uniform(0, 1, (3, 4, 5))


def matrix(rng: np.random.Generator) -> object:
    return rng.uniform(0, 1, (1, 1, 5, 5))


def softmax(name: str, inside: str = "", tops: int = 1) -> Case:
    return Case(name, f'type: "SoftmaxWithLoss" {inside}', [(3, 5, 2, 4), labels(5, 3, 2, 4)], tops=tops)


def sigmoid(name: str, inside: str = "") -> Case:
    return Case(name, f'type: "SigmoidCrossEntropyLoss" loss_param {{ {inside} }}', [(3, 4, 5), targets])


def infogain(name: str, inside: str = "", tops: int = 1) -> Case:
    return Case(name, f'type: "InfogainLoss" {inside}', [(3, 5, 2), labels(5, 3, 2), matrix], tops=tops)


def infogain_from_file(folder: Path) -> str:
    values = np.random.default_rng(0).uniform(0, 1, 25)
    blob = caffe_pb2.BlobProto(num=1, channels=1, height=5, width=5, data=values)
    path = folder / "H.binaryproto"
    path.write_bytes(blob.SerializeToString())
    return f'type: "InfogainLoss" infogain_loss_param {{ source: "{path}" }}'


NORMALIZATIONS = ("FULL", "VALID", "BATCH_SIZE", "NONE")
PAIRS = [(4, 3), (4, 3), labels(2, 4)]
CASES = [
    Case("contrastive_similar", 'type: "ContrastiveLoss"', [(4, 3), (4, 3), lambda rng: np.ones(4)]),
    # the original's gradient divides by d + 1e-4
    Case(
        "contrastive",
        'type: "ContrastiveLoss" contrastive_loss_param { margin: 4 }',
        PAIRS,
        gradient_atol=1e-3,
    ),
    Case(
        "contrastive_legacy",
        'type: "ContrastiveLoss" contrastive_loss_param { margin: 4 legacy_version: true }',
        [(4, 3, 1, 1), (4, 3, 1, 1), labels(2, 4, 1, 1, 1)],
    ),
    Case("euclidean", 'type: "EuclideanLoss"', [(2, 3, 4), (2, 3, 4)]),
    Case("euclidean_other_shape", 'type: "EuclideanLoss"', [(3, 1), (3,)]),
    Case("hinge", 'type: "HingeLoss"', [(4, 5), labels(5, 4)]),
    Case("hinge_l2", 'type: "HingeLoss" hinge_loss_param { norm: L2 }', [(4, 5, 2), labels(10, 4, 1)]),
    infogain("infogain"),
    infogain("infogain_two_tops", "loss_param { normalization: FULL }", tops=2),
    infogain("infogain_ignore", "loss_param { ignore_label: 1 normalization: VALID }"),
    infogain("infogain_batch_size", "loss_param { normalization: BATCH_SIZE ignore_label: 0 }"),
    infogain("infogain_none", "loss_param { normalization: NONE }"),
    Case("infogain_from_file", infogain_from_file, [(3, 5), labels(5, 3)]),
    Case(
        "infogain_axis",
        'type: "InfogainLoss" infogain_loss_param { axis: -1 }',
        [(3, 2, 5), labels(5, 3, 2), matrix],
    ),
    Case("multinomial", 'type: "MultinomialLogisticLoss"', [probabilities, labels(5, 4, 1, 1, 1)]),
    sigmoid("sigmoid_cross_entropy"),
    *[sigmoid(f"sigmoid_cross_entropy_{m}", f"normalization: {m} ignore_label: 0") for m in NORMALIZATIONS],
    sigmoid("sigmoid_cross_entropy_normalize", "normalize: true"),
    softmax("softmax_loss"),
    softmax("softmax_loss_prob", tops=2),
    *[softmax(f"softmax_loss_{m}", f"loss_param {{ normalization: {m} }}") for m in NORMALIZATIONS],
    *[
        softmax(f"softmax_loss_{m}_ignore", f"loss_param {{ normalization: {m} ignore_label: 3 }}", tops=2)
        for m in NORMALIZATIONS
    ],
    softmax("softmax_loss_normalize_true", "loss_param { normalize: true ignore_label: 1 }"),
    softmax("softmax_loss_normalize_false", "loss_param { normalize: false ignore_label: 1 }"),
    softmax("softmax_loss_terms", "loss_param { ignore_label: 1 }", tops=3),
    Case(
        "softmax_loss_axis", 'type: "SoftmaxWithLoss" softmax_param { axis: 2 }', [(3, 2, 5), labels(5, 3, 2)]
    ),
    Case(
        "softmax_loss_all_ignored",
        'type: "SoftmaxWithLoss" loss_param { ignore_label: 255 }',
        [(3, 5), lambda rng: np.full(3, 255)],
    ),
    Case("sigmoid_loss_weights", 'type: "SigmoidCrossEntropyLoss"', [(3, 4, 5), targets, targets]),
    Case(
        "sigmoid_loss_no_weight",
        'type: "SigmoidCrossEntropyLoss"',
        [(3, 4, 5), targets, lambda rng: np.zeros((3, 20))],
    ),
]
