"""Layers of single networks: text, masks, margins, deformation."""

import numpy as np
from harness import Case


def mask(rng: np.random.Generator) -> np.ndarray:
    return np.stack([[rng.permutation(24)[:6].reshape(2, 3) for _ in range(3)] for _ in range(2)])


def rois(rng: np.random.Generator) -> np.ndarray:
    start = rng.uniform(0, 3, (4, 2))
    return np.concatenate([rng.integers(0, 2, (4, 1)), start, start + rng.uniform(1, 3, (4, 2))], 1)


def starts(rng: np.random.Generator) -> np.ndarray:
    return np.array([[0, 0], [1, 1], [1, 0], [1, 1]])


def shifts(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-0.45, 0.45, (2, 8, 4, 5)) + 0.03


KERNEL = "num_output: 4 kernel_size: 2 deformable_group: 1"
CASES = [
    Case("fork_lstm", 'type: "Lstm" lstm_param { num_output: 3 }', [(4, 2, 5)]),
    Case("fork_lstm_clip", 'type: "Lstm" lstm_param { num_output: 3 batch_size: 2 }', [(8, 5), starts]),
    Case(
        "fork_lstm_limit",
        'type: "Lstm" lstm_param { num_output: 3 clipping_threshold: 1e-3 }',
        [(4, 2, 5)],
        gradcheck=False,
    ),
    Case(
        "dense_block",
        'type: "DenseBlock" denseblock_param { numTransition: 2 initChannel: 3 growthRate: 4 }',
        [(2, 3, 5, 6)],
        gradcheck=False,  # a forward moves the statistics
    ),
    Case("auto_crop", 'type: "AutoCrop"', [(2, 3, 7, 8), (2, 1, 4, 5)]),
    Case(
        "unpooling_max",
        'type: "Unpooling" unpooling_param { kernel_size: 2 stride: 2 unpool_h: 4 unpool_w: 6 }',
        [(2, 3, 2, 3), mask],
    ),
    Case(
        "unpooling_tile",
        'type: "Unpooling" unpooling_param { unpool: TILE kernel_size: 3 stride: 3 }',
        [(2, 3, 2, 4)],
    ),
    Case(
        "unpooling_ave",
        'type: "Unpooling" unpooling_param { unpool: AVE kernel_size: 3 stride: 2 pad: 1 unpool_size: 5 }',
        [(2, 4, 3, 3)],
    ),
    Case(
        "eltwise_accuracy",
        'type: "EltwiseAccuracy" eltwise_accuracy_param { ignore_label: 0 }',
        [(2, 3, 4, 5), lambda rng: rng.integers(0, 3, (2, 4, 5))],
        gradcheck=False,
    ),
    Case(
        "roi_warping",
        'type: "ROIWarping" roi_warping_param { pooled_h: 2 pooled_w: 3 }',
        [(2, 3, 6, 7), rois],
    ),
    Case("mask_pooling", 'type: "MaskPooling"', [(2, 3, 4, 5), (2, 1, 4, 5)]),
    Case(
        "mask_resize",
        'type: "MaskResize" mask_resize_param { output_height: 3 output_width: 7 }',
        [(2, 1, 4, 5)],
    ),
    Case(
        "psroi_align",
        'type: "PSROIAlign" psroi_align_param { spatial_scale: 1 output_dim: 3 group_size: 2 sample_num: 2 }',
        [(2, 12, 6, 7), rois],
    ),
    Case(
        "deformable",
        f'type: "DeformableConvolution" convolution_param {{ {KERNEL} }}',
        [(2, 3, 5, 6), shifts],
    ),
    Case(
        "deformable_groups",
        'type: "DeformableConvolution" deformable_convolution_param'
        " { num_output: 6 kernel_size: 2 stride: 2 pad: 1"
        " dilation: 2 group: 2 deformable_group: 4 bias_term: false }",
        [(2, 8, 4, 6), lambda rng: rng.uniform(-0.4, 0.4, (2, 32, 2, 3)) + 0.03],
    ),
    Case(
        "large_margin",
        'type: "LargeMarginInnerProduct" largemargin_inner_product_param'
        " { num_output: 4 type: DOUBLE base: 5 }",
        [(3, 5), lambda rng: rng.integers(0, 4, 3)],
        tops=2,
    ),
    Case("gather", 'type: "Gather"', [(2, 3), (2,)], tops=2, in_place=False),
    Case(
        "pooling3d",
        'type: "Pooling3D" pooling3d_param { kernel_l: 2 stride_l: 2 kernel_size: 3 stride: 2 }',
        [(2, 3, 4, 5, 6)],
    ),
    Case(
        "pooling3d_ave",
        'type: "Pooling3D" pooling3d_param { pool: AVE kernel_l: 2 kernel_size: 3 stride: 2 pad: 1 }',
        [(2, 3, 4, 5, 6)],
    ),
]
