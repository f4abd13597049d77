"""Convolution, Deconvolution, Im2col, Pooling, SPP, Crop."""

import numpy as np
from harness import Case


def conv(name, text, *shapes, type="Convolution"):
    return Case(name, f'type: "{type}" convolution_param {{ {text} }}', list(shapes), tops=len(shapes))


def pool(name, text, shape, **kwargs):
    return Case(name, f'type: "Pooling" pooling_param {{ {text} }}', [shape], **kwargs)


def spp(name, text, shape, **kwargs):
    return Case(name, f'type: "SPP" spp_param {{ {text} }}', [shape], **kwargs)


def crop(name, text, *shapes):
    return Case(name, f'type: "Crop" crop_param {{ {text} }}', list(shapes), grad_bottoms=[0])


def deconv(name, text, *shapes):
    return conv(name, text, *shapes, type="Deconvolution")


def im2col(name, text, shape):
    return conv(name, text, shape, type="Im2col")


def distinct(*shape):
    """Values far apart, so that finite differences never change which one is the largest."""
    return lambda rng: rng.permutation(int(np.prod(shape))).reshape(shape) / 7


def positive(*shape):
    return lambda rng: rng.uniform(0.1, 2, shape)


EIGHT_BITS = "qcodeconfig { il: 1 fl: 7 } qcodeconfig { il: 2 fl: 6 } qcodeconfig { il: 3 fl: 5 }"
CASES = [
    conv("conv", "num_output: 4 kernel_size: 3 pad: 1", (2, 3, 5, 6)),
    conv("conv_group", "num_output: 6 kernel_size: 2 group: 2 stride: 2", (2, 4, 5, 6)),
    conv("conv_depthwise_multiplier", "num_output: 6 kernel_size: 3 group: 3 pad: 1", (2, 3, 5, 4)),
    conv("conv_dilation", "num_output: 2 kernel_size: 3 dilation: 2 pad: 2", (2, 3, 5, 6)),
    conv("conv_sizes", "num_output: 2 kernel_size: [3, 2] stride: [1, 2] pad: [0, 1]", (2, 3, 5, 6)),
    conv("conv_h_w", "num_output: 2 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_w: 1", (2, 3, 5, 6)),
    conv("conv_kernel_h_only_pad", "num_output: 2 kernel_size: 3 pad_h: 2", (2, 3, 4, 6)),
    conv("conv_1x1_nobias", "num_output: 5 kernel_size: 1 bias_term: false", (2, 3, 4, 6)),
    conv("conv_0d", "num_output: 5 kernel_size: 1", (2, 3)),
    conv("conv_0d_no_kernel", "num_output: 4 group: 2", (3, 2)),
    conv("conv_1d", "num_output: 5 kernel_size: 3 stride: 2 pad: 1 dilation: 2", (2, 3, 8)),
    conv("conv_3d", "num_output: 2 kernel_size: [2, 1, 3] stride: 2", (2, 3, 4, 3, 5)),
    conv("conv_4d", "num_output: 2 kernel_size: 2 stride: 2 pad: 1 dilation: 2", (1, 2, 3, 4, 2, 3)),
    conv("conv_axis_0", "num_output: 2 kernel_size: 3 axis: 0", (3, 4, 5)),
    conv("conv_axis_2", "num_output: 2 kernel_size: 2 axis: 2", (2, 2, 3, 4, 5)),
    conv("conv_axis_negative", "num_output: 4 kernel_size: 2 axis: -3", (2, 3, 4, 5)),
    conv("conv_two", "num_output: 2 kernel_size: 2", (2, 3, 4, 5), (2, 3, 4, 5)),
    conv("conv_nd_forced", "num_output: 2 kernel_size: 2 force_nd_im2col: true", (2, 3, 4, 5)),
    deconv("deconv", "num_output: 4 kernel_size: 3 stride: 2", (2, 3, 4, 5)),
    deconv("deconv_0d", "num_output: 4 kernel_size: 1", (2, 3)),
    deconv("deconv_1d", "num_output: 4 kernel_size: 3 stride: 2 pad: 1", (2, 3, 5)),
    deconv("deconv_3d", "num_output: 2 kernel_size: 2 stride: 2 pad: 1", (1, 2, 3, 4, 2)),
    deconv(
        "deconv_4d", "num_output: 2 kernel_size: 3 stride: 2 pad: 1 dilation: 2 group: 2", (2, 2, 3, 2, 1, 2)
    ),
    deconv(
        "deconv_group_dilation",
        "num_output: 6 kernel_size: 3 group: 2 pad: 1 dilation: 2 bias_term: false",
        (2, 4, 3, 5),
    ),
    deconv("deconv_h_w", "num_output: 2 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1", (2, 3, 4, 5)),
    deconv("deconv_axis_2", "num_output: 2 kernel_size: 2 axis: 2", (2, 1, 3, 4, 5)),
    deconv("deconv_two", "num_output: 2 kernel_size: 2", (2, 3, 4, 5), (2, 3, 4, 5)),
    im2col("im2col", "kernel_size: 3 stride: 2 pad: 1", (2, 3, 5, 6)),
    im2col("im2col_dilation", "kernel_h: 2 kernel_w: 3 dilation: 1 dilation: 2", (2, 3, 4, 7)),
    im2col("im2col_1d", "kernel_size: 3 pad: 1", (2, 3, 5)),
    im2col("im2col_3d", "kernel_size: 2 stride: 2 pad: 1", (1, 2, 3, 4, 5)),
    im2col("im2col_axis_0", "kernel_size: 2 axis: 0", (2, 3, 4)),
    pool("pool_max", "kernel_size: 3 stride: 2", distinct(2, 3, 6, 7)),
    pool("pool_max_pad", "kernel_size: 3 stride: 2 pad: 1", distinct(2, 3, 6, 7)),
    pool("pool_max_wide_pad", "kernel_size: 3 stride: 2 pad: 2", distinct(2, 3, 5, 6)),
    pool("pool_max_floor", "kernel_size: 3 stride: 2 round_mode: FLOOR", distinct(2, 3, 6, 7)),
    pool("pool_max_window_behind", "kernel_size: 1 stride: 3", distinct(2, 3, 5, 4), in_place=False),
    pool("pool_max_global", "global_pooling: true", distinct(2, 3, 4, 5)),
    pool("pool_max_1d", "kernel_size: 2 stride: 2", distinct(2, 3, 5)),
    pool("pool_max_3d", "kernel_size: 2 stride: 2 pad: 1", distinct(1, 2, 3, 4, 5)),
    pool("pool_max_3d_wide_pad", "kernel_size: 3 stride: 2 pad: 2", distinct(1, 2, 3, 4, 5), tops=2),
    pool("pool_mask", "kernel_size: 2 stride: 2", distinct(2, 3, 5, 4), tops=2),
    pool("pool_mask_wide_pad", "kernel_size: 3 stride: 2 pad: 2", distinct(2, 3, 5, 4), tops=2),
    pool(
        "pool_rect", "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", distinct(2, 3, 5, 4)
    ),
    pool("pool_ave", "pool: AVE kernel_size: 3 stride: 2", (2, 3, 6, 7)),
    pool("pool_ave_pad", "pool: AVE kernel_size: 3 stride: 2 pad: 1", (2, 3, 6, 7)),
    pool("pool_ave_wide_pad", "pool: AVE kernel_size: 4 stride: 3 pad: 3", (2, 3, 6, 7)),
    pool("pool_ave_global", "pool: AVE global_pooling: true", (2, 3, 4, 5)),
    pool("pool_ave_1d", "pool: AVE kernel_size: 3 stride: 2 pad: 2", (2, 3, 5)),
    pool("pool_ave_3d", "pool: AVE kernel_size: 3 stride: 2 pad: 1", (1, 2, 3, 4, 5)),
    pool("pool_ave_3d_wide_pad", "pool: AVE kernel_size: 3 stride: 2 pad: 2", (1, 2, 3, 4, 5)),
    pool("pool_stochastic_train", "pool: STOCHASTIC kernel_size: 2", positive(2, 3, 5, 4), random=True),
    pool("pool_stochastic_test", "pool: STOCHASTIC kernel_size: 3", positive(2, 3, 5, 4), phase="TEST"),
    spp("spp_max", "pyramid_height: 3", distinct(2, 3, 9, 11)),
    spp("spp_ave", "pyramid_height: 2 pool: AVE", (2, 3, 5, 6)),
    spp("spp_stochastic", "pyramid_height: 2 pool: STOCHASTIC", positive(2, 3, 4, 6), random=True),
    spp("spp_one_level", "pyramid_height: 1", distinct(2, 3, 4, 5)),
    crop("crop", "offset: 1 offset: 2", (2, 3, 5, 6), (7, 8, 3, 4)),
    crop("crop_no_offset", "axis: -1", (2, 3, 6), (4, 5, 2)),
    crop("crop_one_offset", "axis: 1 offset: 1", (2, 3, 4, 5), (6, 2, 3, 4)),
    Case(
        "convolution_float",
        f'type: "ConvolutionFloat" convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 }} {EIGHT_BITS}',
        [(2, 3, 5, 6)],
        gradcheck=False,  # steps
    ),
    Case(
        "convolution_float_default_bits",
        'type: "ConvolutionFloat" convolution_param { num_output: 4 kernel_size: 2 stride: 2 bias_term: false }',
        [(2, 3, 5, 6)],
        gradcheck=False,
    ),
    Case(
        "pooling_float",
        'type: "PoolingFloat" pooling_param { pool: AVE kernel_size: 3 stride: 2 } qcodeconfig { il: 4 fl: 4 }',
        [(2, 3, 6, 7)],
        gradcheck=False,
    ),
    Case(
        "pooling_float_max",
        'type: "PoolingFloat" pooling_param { kernel_size: 2 } qcodeconfig { il: 4 fl: 4 }',
        [distinct(2, 3, 5, 6)],
        tops=2,
    ),
    Case(
        "icnet_subgraph",
        'type: "ICNetSubgraph"',
        [(1, 2, 34, 67)],
        gradcheck=False,  # too many values
    ),
]
