"""Which layers compute by which fields of the forks: a field that nothing computes by must not pass in silence.

The schema holds every fork's fields, so that their files can be read. BVLC's own fields are as free as in the
original, which ignores a message that is none of a layer's business; a fork's field that would change the
numbers, and does not here, is an error. Fields of messages are told apart by number: below 1000 (200 in
LayerParameter) they are BVLC's and SSD's own, from there on other forks'; from 2000 on they are ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message import Message

from caffe.errors import CaffeWarning, LayerError, SolverError
from caffe.proto import caffe_pb2


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_CONVOLUTIONS = "Convolution Deconvolution ConvolutionDepthwise DepthwiseConvolution"
_LOSSES = (
    "CTCLoss CenterLoss ContrastiveLoss CtcLoss DetectionGroupLoss DiceCoefLoss EuclideanLoss FocalLoss HingeLoss "
    "InfogainLoss L1Loss MultinomialLogisticLoss SigmoidCrossEntropyLoss SmoothL1LossOHEM SoftmaxWithLoss "
    "SoftmaxWithLossOHEM TripletLoss WarpCTCLoss"
)
_CASCADE = "BboxAccuracy BoxGroupOutput DecodeBBox DetectionGroupAccuracy DetectionGroupLoss FrcnnOutput ProposalTarget"

# Forks' messages by the types that read them, where that is not the one type of the same name.
_MESSAGES = {
    "bbox_reg_param": _CASCADE,
    "correlation_param": "Correlation Correlation1D",
    "ctc_loss_param": "CTCLoss CtcLoss",
    "ctc_param": "CTCGreedyDecoder WarpCTCLoss",
    "deformable_convolution_param": "DeformableConvolution",
    "depth_to_space_param": "DepthToSpace SpaceToDepth",
    "detection_group_accuracy_param": "DetectionGroupAccuracy DetectionGroupLoss",
    "filter_param": "Filter",
    "focal_loss_param": "FocalLoss MultiBoxFocalLoss",
    "gather_param": "",  # Synopsys' Gather, not yjxiong's
    "largemargin_inner_product_param": "LargeMarginInnerProduct",
    "lstm_param": "LSTM Lstm",
    "lstm_unit_param": "",
    "margin_inner_product_param": "MarginInnerProduct LargeMarginInnerProduct",
    "multibox_loss_param": "MultiBoxLoss MultiBoxFocalLoss",
    "norm_param": "Normalize",
    "roi_pooling_param": "ROIPooling ROIAlign",
    "smoothl1_param": "SmoothL1Loss",
    "xlu_param": "",  # XLU's fields are relu_param's
}
# Messages of a layer's bookkeeping: they change no numbers wherever they are.
_HARMLESS_MESSAGES = _names(
    "quantization_param split_param multinode mn_activation_param mn_grad_compress_param qcodeconfig "
    "trt_param lstm_debug_param"
)

# Forks' fields in messages of many forks, by the types that read them.
_FIELDS = {
    "batch_norm_param": ("BatchNorm", "scale_bias scale_filler bias_filler relu add_eps_before_sqrt"),
    "convolution_param": (
        _CONVOLUTIONS,
        "pad_type pad_l pad_r pad_t pad_b relu negative_slope hole hole_h hole_w",
    ),
    "dropout_param": ("Dropout", "scale_train sample_weights_test"),
    "eltwise_param": ("Eltwise", "axis"),
    "image_data_param": ("ImageData", "num_labels label_dim label_size"),
    "mvn_param": ("MVN", "add_eps_before_sqrt"),
    "pooling_param": ("Pooling", "ceil_mode pad_type pad_l pad_r pad_t pad_b avg_include_pad"),
    "relu_param": ("ReLU XLU", "relu6 maximum minimum"),
    "reshape_param": ("Reshape", "pixelshuffler"),
}
_MORE_FIELDS = {
    "loss_param.pre_fixed_normalizer": _LOSSES,
    "loss_param.weight_by_label_freqs": "SoftmaxWithLoss",
    "loss_param.class_weighting": "SoftmaxWithLoss",
    "loss_param.label_smoothing": "SoftmaxWithLoss",
    "softmax_param.normalize_type": "Normalize",
    "convolution_param.hole": "Im2col",
    "convolution_param.hole_h": "Im2col",
    "convolution_param.hole_w": "Im2col",
    "convolution_param.deformable_group": "DeformableConvolution",
    "deformable_convolution_param.deformable_group": "DeformableConvolution",
}

# How something is computed, stored or shown, not what.
_HARMLESS = _names(
    "engine force_nd_im2col conv_algos_override cudnn_math_override cudnn_convolution_algo_seeker "
    "conv_algorithm fuse threads parser_threads disk_reader_threads cache precache huge_video_dataset "
    "use_gpu_transform display verbose debug_params"
)
_MORE_HARMLESS = frozenset(
    (
        "batch_norm_param.icnet",  # where Synopsys saves memory
        "batch_norm_param.use_weight_bias",  # Intel: its engine's choice; the Scale behind it has them
        "batch_norm_param.bias_term",
        "batch_norm_param.filler",
        "correlation_param.do_abs",  # read and never used
        "transform_param.random_seed",
        "transform_param.forward_rng",
        "transform_param.num_labels",
        "transform_param.max_distort",  # of multi_scale
        "transform_param.allow_upscale",  # of img_rand_resize
        "transform_param.interpolation_algo_up",
        "transform_param.interpolation_algo_down",
        "data_param.rand_permute_seed",  # of rand_permute
        "data_param.rand_permute_order",
        "softmax_param.pos_cid",  # of pos_mult
        "annotated_data_param.label_map_file",  # the labels are in the records
        "annotated_data_param.train_diffcult",  # difficult objects are always kept
        "annotated_data_param.single_class",  # of labels as images, which are not read
        "annotated_data_param.seg_scales",
        "annotated_data_param.seg_resize_width",
        "annotated_data_param.seg_resize_height",
        "denseblock_param.initChannel",  # the bottom's channels
        "detection_output_param.visualize",
        "detection_output_param.visualize_threshold",
        "detection_output_param.save_file",
        "eval_detection_param.side",  # the maps' size, which the bottoms have
        "region_loss_param.side",
        "region_loss_param.jitter",  # Darknet's, unused by the layer
        "region_loss_param.absolute",
        "region_loss_param.random",
        "yolo_detection_output_param.side",
        "yolov3_param.side",
        "yolov3_param.noobject_scale",  # read by the fork's layer, and unused
        "yolo_seg_param.num_class",  # read by the fork's layer, and unused
        "yolo_seg_param.class_scale",
        "yolo_seg_param.use_logic_gradient",
        "yolo_seg_param.use_hardsigmoid",
        "yolo_detection_output_param.label_map_file",  # names for the saved files
        "proposal_target_param.num_img_per_batch",  # for the one region at random where there is none
        "proposal_target_param.img_width",
        "proposal_target_param.img_height",
        "seg_accuracy_param.metric",  # all of them are given
        "resample_param.factor",  # height and width say it
    )
)

# How training images are changed or ordered by chance: a net trains without, on other numbers.
_RANDOM = frozenset(
    (
        *(
            f"transform_param.{name}"
            for name in [
                "img_rand_resize_lower",
                "img_rand_resize_upper",
                "rand_resize_ratio_lower",
                "rand_resize_ratio_upper",
                "vertical_stretch_lower",
                "vertical_stretch_upper",
                "horizontal_stretch_lower",
                "horizontal_stretch_upper",
                "random_resize_param",
                "random_aspect_ratio_param",
                "fix_crop",
                "more_fix_crop",
                "multi_scale",
                "scale_ratios",
                "contrast_brightness_adjustment",
                "max_rotation_angle",
                "max_smooth",
                "max_color_shift",
                "min_contrast",
                "max_contrast",
                "max_brightness_shift",
                "smooth_filtering",
                "apply_probability",
                "apply_prob",
                "scale_factors",
                "min_side_min",
                "min_side_max",
            ]
        ),
        *(f"data_param.{name}" for name in ["shuffle", "random", "rand_permute", "permute_every_iter"]),
        *(
            f"image_data_param.{name}"
            for name in [
                "max_shear_ratio",
                "max_aspect_ratio",
                "max_rotate_angle",
                "min_random_scale",
                "max_random_scale",
                "max_random_shift",
            ]
        ),
        "annotated_data_param.yolo_data_type",
        "annotated_data_param.yolo_data_jitter",
    )
)

# Fields below 1000 of forks' own messages that nothing here computes by.
_UNREAD = {
    "ctc_param": "threshold",
    "dice_coef_loss_param": "contour_size contour_amplitude",
    "deformable_convolution_param": "axis",
    "eval_detection_param": "sqrt constriant",
    "focal_loss_param": "beta",
    "inner_distance_param": "update_center_only",
    "multibox_loss_param": "objectness_score",
    "norm_param": "fix_gradient bp_norm",
    "normalize_param": "fix_gradient",
    "prior_box_param": "fixed_size fixed_ratio density",
    "relu6_param": "relu6 maximum minimum saturate",
    "video_data_param": (
        "new_length new_height new_width num_segments modality name_pattern root_folder encoded grayscale "
        "rand_skip shuffle"
    ),
    "yolo_detection_output_param": "coords",
    "yolov3_param": "use_focal_loss",
}
# The same for single types of those that read the message.
_UNREAD_BY = {
    "MultiBoxFocalLoss": "focal_loss_param.type",
    "ROIPooling": "roi_pooling_param.pad_ratio",
}

# The same within messages of fields: fillers', and of transform_param.
_UNREAD_INSIDE = ("filler.diag_val", "filler.alpha", "filler.file")
_RANDOM_INSIDE = ("distort_param.exposure_lower", "distort_param.exposure_upper", "resize_param.jitter")

# Solvers' fields of forks that change what is learned, or when it ends, and are not followed here.
_SOLVER = _names(
    "momentum_policy weight_decay_policy larc test_and_snapshot_last_epochs test_epoch_size "
    "test_interval_epoch max_epoch epoch_size local_lr_auto disabled_update test_offset stepearly "
    "gan_solver clip_value plugin"
)

_FIXES = {
    "param.fixed": "Use lr_mult: 0",
    "loss_param.class_weight": "Use weight_by_label_freqs: true and class_weighting, once a class",
    "loss_param.focal_loss": "Use a layer of type FocalLoss",
    "loss_param.hard_ratio": "Use a layer of type SoftmaxWithLossOHEM and a BoxAnnotatorOHEM",
    "crop_param.dim": "Give the reference as a second bottom",
    "video_data_param.num_segments": "Its data layer is temporal segment networks' (yjxiong); feed its blobs",
}


def _by_type() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for message, (types, names) in _FIELDS.items():
        for name in names.split():
            found.setdefault(f"{message}.{name}", set()).update(types.split())
    for path, types in _MORE_FIELDS.items():
        found.setdefault(path, set()).update(types.split())
    return {path: frozenset(types) for path, types in found.items()}


READ = _by_type()
"""Path of a fork's field in a message of many forks → the layer types that compute by it."""
UNREAD = frozenset(f"{message}.{name}" for message, names in _UNREAD.items() for name in names.split())
"""Fields of forks' own messages that nothing here computes by."""


def readers(message: str) -> frozenset[str] | None:
    """The layer types that read a fork's message; None: the one type of that name."""
    types = _MESSAGES.get(message)
    return None if types is None else frozenset(types.split())


def harmless(path: str) -> bool:
    """Whether a field says only how something is computed, stored or shown."""
    return path in _MORE_HARMLESS or path.split(".")[-1] in _HARMLESS


def fate(path: str) -> str:
    """What becomes of a fork's field on layers that do not compute by it, in words."""
    if harmless(path):
        return "without effect"
    return "with a warning" if path in _RANDOM else "an error"


def check_fields(param: caffe_pb2.LayerParameter) -> None:
    """Raise LayerError where a layer's parameters hold a fork's field that its type does not compute by.

    Random changes of training data that are not made are warned of (CaffeWarning).
    """
    for spec in param.param:
        for path, inner in _changed("param", spec):
            if path in ("param.fixed", "param.filler"):
                raise _error(param, path, "is not computed by here", inner)
    for field, value in param.ListFields():
        name = field.name
        if field.message_type is None or not name.endswith("_param"):
            continue
        if field.number >= 200 and not _reads(param.type, name):
            if name in _HARMLESS_MESSAGES:
                continue
            raise _error(param, name, f"is not read by layers of type {param.type}")
        for path, inner in _changed(name, value):
            for part, wanted in _inside(path, inner):
                if part.endswith(_UNREAD_INSIDE):
                    raise _error(param, part, "is not computed by here", wanted)
                if part.endswith(_RANDOM_INSIDE):
                    _warn(param, part, wanted)
            if path in _RANDOM:
                _warn(param, path, inner)
            elif path == _UNREAD_BY.get(param.type) or path in UNREAD:
                raise _error(param, path, "is not computed by here", inner)
            elif path in READ and param.type not in READ[path]:
                types = " and ".join(sorted(READ[path])) if len(READ[path]) < 6 else "other types"
                raise _error(param, path, f"is for layers of type {types}, not {param.type}", inner)
            elif path not in READ and _is_of_a_fork(path):
                raise _error(param, path, "is not computed by here", inner)


def check_solver(param: caffe_pb2.SolverParameter) -> None:
    """Raise SolverError where a solver's definition holds a fork's field that changes training and is not followed."""
    for path, value in _changed("solver", param):
        name = path.split(".")[-1]
        if name in _SOLVER:
            raise SolverError(
                f"a fork's field, is not followed here; got {' '.join(str(value).split())}",
                field=name,
                fix="Remove it, if training is to go without",
            )


def _reads(type_name: str, message: str) -> bool:
    types = readers(message)
    if types is not None:
        return type_name in types
    return message.removesuffix("_param").replace("_", "") == type_name.lower()


def _changed(message: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Path and value of the fields that are not as the schema has them by default, harmless ones left out."""
    for field, inner in value.ListFields():
        path = f"{message}.{field.name}"
        if harmless(path) or field.number >= 2000:
            continue
        if (
            field.message_type is not None
            or not hasattr(field, "default_value")
            or inner != field.default_value
        ):
            yield path, inner


def _inside(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The same within a field that is a message, or several."""
    for message in value if isinstance(value, Sequence) else [value]:
        if isinstance(message, Message):
            yield from _changed(path, message)


def _warn(param: caffe_pb2.LayerParameter, path: str, value: Any) -> None:
    warnings.warn(
        f"layer '{param.name}' ({param.type}): field '{path}' is a fork's, which is not followed here:"
        f" training data will differ; got {' '.join(str(value).split())}",
        CaffeWarning,
        stacklevel=5,
    )


def _is_of_a_fork(path: str) -> bool:
    """Whether a field of a BVLC message is not BVLC's."""
    message, name = path.split(".")
    field = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[message]
    inner = field.message_type
    return field.number < 200 and inner is not None and 1000 <= inner.fields_by_name[name].number < 2000


def _error(param: caffe_pb2.LayerParameter, path: str, what: str, value: Any = None) -> LayerError:
    got = "" if value is None else f"; got {' '.join(str(value).split())}"
    return LayerError(
        f"a fork's field, {what}{got}",
        layer=param.name,
        type=param.type,
        field=path,
        fix=_FIXES.get(
            path, "Remove it, if the layer is to go without; the numbers will differ from that fork's"
        ),
    )
