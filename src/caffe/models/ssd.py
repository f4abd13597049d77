"""SSD300: boxes from six maps of VGG-16, with its two large layers made dilated convolutions.

Liu et al., SSD: single shot multibox detector, 2016. For PASCAL VOC's 20 classes and COCO's 80; the smallest
boxes and the places of things differ, the layers do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffe.models import _nets
from caffe.models._nets import put
from caffe.models.vgg import convolutions
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2


@dataclass(frozen=True)
class Task:
    """A data set: how many classes with the background, and how large the boxes of each map are."""

    name: str
    classes: int
    sizes: tuple[int, ...]
    train: str
    test: str
    label_map: str
    name_sizes: str
    test_iter: int
    steps: tuple[int, ...]
    snapshot: int
    difficult: bool
    """Whether things marked as difficult are learned too."""

    @property
    def folder(self) -> str:
        """Where its files belong in caffe_root."""
        return f"models/VGGNet/{self.name}/SSD_300x300"

    @property
    def prefix(self) -> str:
        """What its nets and snapshots are called by."""
        return f"VGG_{self.name}_SSD_300x300"


VOC = Task(
    name="VOC0712",
    classes=21,
    sizes=(30, 60, 111, 162, 213, 264, 315),
    train="examples/VOC0712/VOC0712_trainval_lmdb",
    test="examples/VOC0712/VOC0712_test_lmdb",
    label_map="data/VOC0712/labelmap_voc.prototxt",
    name_sizes="data/VOC0712/test_name_size.txt",
    test_iter=619,
    steps=(80000, 100000, 120000),
    snapshot=80000,
    difficult=True,
)
COCO = Task(
    name="coco",
    classes=81,
    sizes=(21, 45, 99, 153, 207, 261, 315),
    train="examples/coco/coco_train_lmdb",
    test="examples/coco/coco_minival_lmdb",
    label_map="data/coco/labelmap_coco.prototxt",
    name_sizes="data/coco/minival2014_name_size.txt",
    test_iter=625,
    steps=(280000, 360000, 400000),
    snapshot=40000,
    difficult=False,
)

_SOURCES = {  # layer → aspect ratios of its boxes beside 1, pixels from one place to the next
    "conv4_3_norm": ([2], 8),
    "fc7": ([2, 3], 16),
    "conv6_2": ([2, 3], 32),
    "conv7_2": ([2, 3], 64),
    "conv8_2": ([2], 100),
    "conv9_2": ([2], 300),
}
_EXTRA = {6: (256, 512, 2), 7: (128, 256, 2), 8: (128, 256, 1), 9: (128, 256, 1)}
"""Channels of the 1×1 and the 3×3, and the stride of the 3×3; those that do not stride do not pad either."""
_LEARNED: dict[str, Any] = dict(
    weight_filler=dict(type="xavier"), bias_filler=_nets.constant(), param=_nets.RATES_AND_DECAYS
)
_MEAN = [104, 117, 123]


def _conv(n: NetSpec, name: str, relu: str, bottom: Top, channels: int, kernel: int, **shape: Any) -> Top:
    n[name] = L.Convolution(bottom, num_output=channels, kernel_size=kernel, **shape, **_LEARNED)
    return put(n, relu, L.ReLU(n[name], in_place=True))


def _maps(n: NetSpec) -> dict[str, Top]:
    """The six maps that boxes are read from."""
    x = convolutions(n, 16, param=_nets.RATES_AND_DECAYS)
    x = put(n, "pool5", L.Pooling(x, pool="MAX", kernel_size=3, stride=1, pad=1))
    x = _conv(n, "fc6", "relu6", x, 1024, 3, pad=6, dilation=6)
    x = _conv(n, "fc7", "relu7", x, 1024, 1)
    maps = {"fc7": x}
    for i, (narrow, wide, stride) in _EXTRA.items():
        x = _conv(n, f"conv{i}_1", f"conv{i}_1_relu", x, narrow, 1, pad=0, stride=1)
        x = _conv(n, f"conv{i}_2", f"conv{i}_2_relu", x, wide, 3, pad=int(stride > 1), stride=stride)
        maps[f"conv{i}_2"] = x
    norm = L.Normalize(
        n.conv4_3,
        norm_param=dict(across_spatial=False, scale_filler=_nets.constant(20), channel_shared=False),
    )
    return {"conv4_3_norm": put(n, "conv4_3_norm", norm), **maps}


def _head(n: NetSpec, name: str, bottom: Top, channels: int) -> Top:
    """A prediction for each place, H×W×C flattened."""
    n[name] = L.Convolution(bottom, num_output=channels, pad=1, kernel_size=3, stride=1, **_LEARNED)
    n[f"{name}_perm"] = L.Permute(n[name], order=[0, 2, 3, 1])
    return put(n, f"{name}_flat", L.Flatten(n[f"{name}_perm"], axis=1))


def _body(task: Task) -> _nets.Body:
    """All layers up to mbox_loc, mbox_conf and mbox_priorbox; returns the second."""

    def body(n: NetSpec) -> Top:
        boxes, scores, priors = [], [], []
        for (name, top), low, high in zip(_maps(n).items(), task.sizes, task.sizes[1:]):
            ratios, step = _SOURCES[name]
            count = 2 + 2 * len(ratios)  # two squares, and each ratio lying and standing
            boxes.append(_head(n, f"{name}_mbox_loc", top, 4 * count))
            scores.append(_head(n, f"{name}_mbox_conf", top, task.classes * count))
            n[f"{name}_mbox_priorbox"] = L.PriorBox(
                top,
                n.data,
                min_size=low,
                max_size=high,
                aspect_ratio=ratios,
                flip=True,
                clip=False,
                variance=[0.1, 0.1, 0.2, 0.2],
                step=step,
                offset=0.5,
            )
            priors.append(n[f"{name}_mbox_priorbox"])
        n.mbox_loc = L.Concat(*boxes, axis=1)
        last = put(n, "mbox_conf", L.Concat(*scores, axis=1))
        n.mbox_priorbox = L.Concat(*priors, axis=2)
        return last

    return body


def _detections(task: Task) -> _nets.Ending:
    """The boxes that are left: image, class, score and two corners, in shares of the image."""

    def ending(n: NetSpec, scores: Top) -> None:
        n.mbox_conf_reshape = L.Reshape(scores, shape=dict(dim=[0, -1, task.classes]))
        n.mbox_conf_softmax = L.Softmax(n.mbox_conf_reshape, axis=2)
        n.mbox_conf_flatten = L.Flatten(n.mbox_conf_softmax, axis=1)
        n.detection_out = L.DetectionOutput(
            n.mbox_loc,
            n.mbox_conf_flatten,
            n.mbox_priorbox,
            include=dict(phase="TEST"),
            detection_output_param=dict(
                num_classes=task.classes,
                share_location=True,
                background_label_id=0,
                nms_param=dict(nms_threshold=0.45, top_k=400),
                code_type="CENTER_SIZE",
                keep_top_k=200,
                confidence_threshold=0.01,
            ),
        )

    return ending


def _resized(*modes: str) -> dict[str, Any]:
    return dict(prob=1, resize_mode="WARP", height=300, width=300, interp_mode=list(modes))


def _samplers() -> list[dict[str, Any]]:
    """The whole image, or a patch that overlaps a thing by so much, or any patch."""
    patch = dict(min_scale=0.3, max_scale=1.0, min_aspect_ratio=0.5, max_aspect_ratio=2.0)
    constraints = [dict(min_jaccard_overlap=o) for o in (0.1, 0.3, 0.5, 0.7, 0.9)]
    constraints.append(dict(max_jaccard_overlap=1.0))
    return [
        dict(max_sample=1, max_trials=1),
        *(dict(sampler=patch, sample_constraint=c, max_sample=1, max_trials=50) for c in constraints),
    ]


def deploy(task: Task) -> caffe_pb2.NetParameter:
    """3×300×300 in, 1×1×N×7 out: image, class, score, corners."""
    return _nets.deploy(f"{task.prefix}_deploy", _body(task), (1, 3, 300, 300), _detections(task))


def train(task: Task) -> caffe_pb2.NetParameter:
    """Over an AnnotatedData LMDB, with patches, light and expansion changed by chance."""
    n = NetSpec(f"{task.prefix}_train")
    n.data, n.label = L.AnnotatedData(
        name="data",
        ntop=2,
        include=dict(phase="TRAIN"),
        transform_param=dict(
            mirror=True,
            mean_value=_MEAN,
            resize_param=_resized("LINEAR", "AREA", "NEAREST", "CUBIC", "LANCZOS4"),
            emit_constraint=dict(emit_type="CENTER"),
            distort_param=dict(
                brightness_prob=0.5,
                brightness_delta=32,
                contrast_prob=0.5,
                contrast_lower=0.5,
                contrast_upper=1.5,
                hue_prob=0.5,
                hue_delta=18,
                saturation_prob=0.5,
                saturation_lower=0.5,
                saturation_upper=1.5,
                random_order_prob=0.0,
            ),
            expand_param=dict(prob=0.5, max_expand_ratio=4.0),
        ),
        data_param=dict(source=task.train, batch_size=32, backend="LMDB"),
        annotated_data_param=dict(batch_sampler=_samplers(), label_map_file=task.label_map),
    )
    _body(task)(n)
    n.mbox_loss = L.MultiBoxLoss(
        n.mbox_loc,
        n.mbox_conf,
        n.mbox_priorbox,
        n.label,
        include=dict(phase="TRAIN"),
        propagate_down=[True, True, False, False],
        loss_param=dict(normalization="VALID"),
        multibox_loss_param=dict(
            loc_loss_type="SMOOTH_L1",
            conf_loss_type="SOFTMAX",
            loc_weight=1.0,
            num_classes=task.classes,
            share_location=True,
            match_type="PER_PREDICTION",
            overlap_threshold=0.5,
            use_prior_for_matching=True,
            background_label_id=0,
            use_difficult_gt=task.difficult,
            neg_pos_ratio=3.0,
            neg_overlap=0.5,
            code_type="CENTER_SIZE",
            ignore_cross_boundary_bbox=False,
            mining_type="MAX_NEGATIVE",
        ),
    )
    return n.to_proto()


def test(task: Task) -> caffe_pb2.NetParameter:
    """Over the test LMDB; ends in DetectionEvaluate, from which the solver computes the mean average precision."""
    n = NetSpec(f"{task.prefix}_test")
    n.data, n.label = L.AnnotatedData(
        name="data",
        ntop=2,
        include=dict(phase="TEST"),
        transform_param=dict(mean_value=_MEAN, resize_param=_resized("LINEAR")),
        data_param=dict(source=task.test, batch_size=8, backend="LMDB"),
        annotated_data_param=dict(batch_sampler=[{}], label_map_file=task.label_map),
    )
    _detections(task)(n, _body(task)(n))
    n.detection_eval = L.DetectionEvaluate(
        n.detection_out,
        n.label,
        include=dict(phase="TEST"),
        num_classes=task.classes,
        background_label_id=0,
        overlap_threshold=0.5,
        evaluate_difficult_gt=False,
        name_size_file=task.name_sizes,
    )
    return n.to_proto()


def solver(task: Task) -> caffe_pb2.SolverParameter:
    """Starts from VGG-16 without its classifier; the rate falls to a tenth twice."""
    return caffe_pb2.SolverParameter(
        train_net=f"{task.folder}/train.prototxt",
        test_net=[f"{task.folder}/test.prototxt"],
        test_iter=[task.test_iter],
        test_interval=10000,
        base_lr=0.001,
        display=10,
        max_iter=task.steps[-1],
        lr_policy="multistep",
        gamma=0.1,
        momentum=0.9,
        weight_decay=0.0005,
        snapshot=task.snapshot,
        snapshot_prefix=f"{task.folder}/{task.prefix}",
        solver_mode="GPU",
        device_id=0,
        debug_info=False,
        snapshot_after_train=True,
        test_initialization=False,
        average_loss=10,
        stepvalue=list(task.steps),
        iter_size=1,
        type="SGD",
        eval_type="detection",
        ap_version="11point",
    )
