"""Which fields a layer computes by: a fork's field that nothing computes by must not pass in silence.

The schema holds every fork's fields, so that their files can be read. BVLC's own fields are as free as in the
original, which ignores a message that is none of a layer's business; a fork's field that would change the
numbers, and does not here, is an error. Fields of messages are told apart by number: below 1000 (200 in
LayerParameter) they are BVLC's and SSD's own, from there on other forks'; from 2000 on they are ours.

Each layer class says in ``reads`` what it computes by: the messages of LayerParameter, and for each the names of
fields. ``*`` stands for a message's own fields that change something: all of a fork's message, those of a BVLC
message that are not forks'. ``-name`` takes one out of them. So ``{"pooling_param": "* ceil_mode"}`` is Pooling
with one fork's field, ``{"prior_box_param": "* -density"}`` PriorBox without one of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from caffe.errors import CaffeWarning, LayerError, SolverError
from caffe.proto import caffe_pb2


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Messages of a layer's bookkeeping: they change no numbers wherever they are.
_HARMLESS_MESSAGES = _names(
    "quantization_param split_param multinode mn_activation_param mn_grad_compress_param qcodeconfig "
    "trt_param"
)

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
        "yolo_v2_loss_param.constraint",
        "bbox_reg_param.cls_aware",  # the same message is given to layers that move all classes alike
        "loss_param.pre_fixed_normalizer",  # of PRE_FIXED, for losses that normalize
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
        "inner_distance_param.bias_term",  # read by the fork's layer, and unused
        "inner_distance_param.bias_filler",
        "label_specific_add_param.transform_test",  # in TEST nothing is added, whatever it says
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

# Fields within messages of fields that nothing here computes by: fillers', and of transform_param.
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


def computes(reads: Mapping[str, str], path: str) -> bool:
    """Whether a layer with these ``reads`` computes by a field, ``"message.field"``."""
    message, name = path.split(".")
    words = reads.get(message, "").split()
    if "*" not in words:
        return name in words
    apart = harmless(path) or path in _RANDOM or of_a_fork(path) or f"-{name}" in words
    return name in words or not apart


def harmless(path: str) -> bool:
    """Whether a field says only how something is computed, stored or shown."""
    return path in _MORE_HARMLESS or path.split(".")[-1] in _HARMLESS


def fate(path: str) -> str:
    """What becomes of a field on layers that do not compute by it, in words."""
    if harmless(path) or not (of_a_fork(path) or message_field(path).number >= 200):
        return "without effect"
    return "with a warning" if path in _RANDOM else "an error"


def check_fields(
    param: caffe_pb2.LayerParameter, reads: Mapping[str, str], readers: Callable[[str], Sequence[str]]
) -> None:
    """Raise LayerError where a layer's parameters hold a fork's field that its type does not compute by.

    ``reads`` is the type's, ``readers`` gives the types that compute by a field. Random changes of training data
    that are not made are warned of (CaffeWarning).
    """
    for spec in param.param:
        for path, inner in _changed("param", spec):
            if path in ("param.fixed", "param.filler"):
                raise _error(param, path, "is not computed by here", inner)
    for field, value in param.ListFields():
        name = field.name
        if field.message_type is None or not name.endswith("_param"):
            continue
        if field.number >= 200 and name not in reads:
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
            elif (field.number >= 200 or of_a_fork(path)) and not computes(reads, path):
                types = readers(path)
                what = "is not computed by here"
                if types:
                    names = " and ".join(types) if len(types) < 6 else "other types"
                    what = f"is for layers of type {names}, not {param.type}"
                raise _error(param, path, what, inner)


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


def _changed(message: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Path and value of the fields that are not as the schema has them by default, harmless ones left out.

    ``value`` is a message, or several.
    """
    messages = value if isinstance(value, Sequence) else [value]
    for field, inner in (pair for one in messages for pair in one.ListFields()):
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


def of_a_fork(path: str) -> bool:
    """Whether a field of a BVLC message is not BVLC's."""
    field = message_field(path)
    number: int = field.message_type.fields_by_name[path.split(".")[1]].number
    return field.number < 200 and 1000 <= number < 2000


def message_field(path: str) -> Any:
    """The field of LayerParameter that holds the field at ``path``, as its descriptor."""
    return caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[path.split(".")[0]]


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
