"""Layers of the forks that reorder, reduce, pad and resize."""

from harness import Case

AXES = [(2, 3, 4, 5)]
CASES = [
    Case("transpose", 'type: "Transpose" transpose_param { dim: 3 dim: 0 dim: 2 dim: 1 }', AXES),
    Case("reverse", 'type: "Reverse" reverse_param { axis: 1 }', AXES),
    Case("flip", 'type: "Flip"', AXES),
    Case("flip_height", 'type: "Flip" flip_param { flip_width: false flip_height: true }', AXES),
    Case("broadcast_mul", 'type: "BroadcastMul"', [(2, 3, 4, 5), (2, 3)]),
    Case("gram", 'type: "Gram"', AXES),
    Case("expand_dims_nd", 'type: "ExpandDimsND" expand_dims_nd_param { axis: 1 axis: -1 }', AXES),
    Case("squeeze", 'type: "Squeeze" squeeze_param { axis: -1 }', [(2, 1, 3, 1)]),
    Case("squeeze_all", 'type: "Squeeze"', [(2, 1, 3, 1)]),
    Case("shape", 'type: "Shape"', AXES, gradcheck=False),
    Case(
        "broadcast_to",
        'type: "BroadcastTo" broadcast_to_param { shape: 4 shape: 3 shape: 2 shape: 5 }',
        [(3, 1, 5)],
    ),
    Case(
        "strided_slice",
        'type: "StridedSlice" strided_slice_param { begin: 1 begin: -1 end: 3 end: 0 strides: 1 strides: -2 }',
        [(3, 5, 4)],
    ),
    Case("tile_nd", 'type: "TileND" tile_nd_param { multiples: 1 multiples: 2 multiples: 3 }', [(2, 3, 4)]),
    Case(
        "piece",
        'type: "Piece" piece_param { begin: 0 begin: 1 begin: 2 size: 2 size: -1 size: 1 }',
        [(2, 3, 4)],
    ),
    Case(
        "pad",
        'type: "Pad" pad_param { paddings: 0 paddings: 1 paddings: 2 paddings: 0 constant_values: 3 }',
        [(2, 3)],
    ),
    Case(
        "mirror_pad",
        'type: "MirrorPad" mirror_pad_param'
        ' { paddings: 0 paddings: 0 paddings: 2 paddings: 1 mode: "REFLECT" }',
        [(2, 4)],
    ),
    Case(
        "mirror_pad_symmetric",
        'type: "MirrorPad" mirror_pad_param'
        ' { paddings: 0 paddings: 2 paddings: 3 paddings: 1 mode: "SYMMETRIC" }',
        [(2, 4)],
    ),
    Case(
        "mirror_pad_edge",
        'type: "MirrorPad" mirror_pad_param { paddings: 1 paddings: 2 paddings: 3 paddings: 1 mode: "EDGE" }',
        [(2, 4)],
    ),
    Case("mirror_pad_constant", 'type: "MirrorPad" mirror_pad_param { paddings: 1 paddings: 2 }', [(5,)]),
    Case(
        "depth_to_space",
        'type: "DepthToSpace" depth_to_space_param { block_size: 2 data_format: "NCHW" }',
        [(2, 12, 4, 5)],
    ),
    Case("space_to_depth", 'type: "SpaceToDepth" space_to_depth_param { block_size: 2 }', [(2, 4, 6, 5)]),
    Case("mat_mul", 'type: "MatMul" matmul_param { transpose_a: true }', [(2, 5, 3), (2, 5, 4)]),
    Case("mat_mul_blob", 'type: "MatMul" matmul_param { blob_shape: 4 blob_shape: 5 }', [(2, 3, 4)]),
    Case("mul", 'type: "Mul"', [(2, 3, 1, 5), (4, 1)], in_place=False),
    Case("add", 'type: "Add"', [(3, 5), (2, 4, 3, 1)], in_place=False),
    Case("log_softmax", 'type: "LogSoftmax" log_softmax_param { axis: -1 }', [(2, 3, 4)]),
    Case("lp_normalization", 'type: "LpNormalization" lp_normalization_param { axis: 1 p: 2 }', [(2, 3, 4)]),
    Case("layer_norm", 'type: "LayerNorm"', [(2, 3, 4)]),
    Case(
        "layer_norm_plain",
        'type: "LayerNorm" layer_norm_param { elementwise_affine: false eps: 0.1 }',
        [(2, 3, 4)],
    ),
    Case("channel_norm", 'type: "ChannelNorm"', AXES),
    Case("normalized_layer", 'type: "NormalizedLayer"', AXES),
    Case("l2_norm", 'type: "L2Norm"', [(3, 5)]),
    *(
        Case(
            f"reduce_{name.lower()}",
            f'type: "Reduce{name}" reduce_{field}_param {{ {listed}: 1 {listed}: -1 }}',
            AXES,
        )
        for name, field, listed in (
            ("Sum", "sum", "axis"),
            ("Mean", "mean", "axis"),
            ("Max", "max", "axis"),
            ("Min", "min", "axis"),
            ("Prod", "prod", "axis"),
            ("LogSumExp", "logsumexp", "axis"),
            ("L1", "l1", "axes"),
            ("L2", "l2", "axes"),
        )
    ),
    Case("reduce_all_kept", 'type: "ReduceMean" reduce_mean_param { keepdims: true }', AXES),
    Case(
        "resize_bilinear",
        'type: "ResizeBilinear" resize_bilinear_param'
        " { output_height: 7 scale_width: 1.5 half_pixel_centers: true }",
        [(2, 4, 5, 3)],
    ),
    Case(
        "resize_bilinear_corners",
        'type: "ResizeBilinear" resize_bilinear_param { output_height: 3 output_width: 9 align_corners: true'
        ' data_format: "NCHW" }',
        AXES,
    ),
    Case(
        "resize_nearest",
        'type: "ResizeNearestNeighbor" resize_nearest_neighbor_param { output_height: 3 output_width: 9'
        " half_pixel_centers: true }",
        [(2, 4, 5, 3)],
    ),
    Case(
        "local",
        'type: "Local" local_param'
        ' { num_output: 4 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "xavier" } }',
        [(2, 3, 5, 6)],
    ),
    Case(
        "continuation_indicator",
        'type: "ContinuationIndicator" continuation_indicator_param { time_step: 4 batch_size: 3 }',
        gradcheck=False,
    ),
    Case(
        "eltwise_div",
        'type: "Eltwise" eltwise_param { operation: DIV }',
        [(2, 3), lambda rng: rng.uniform(1, 2, (2, 3))],
    ),
    Case("eltwise_min", 'type: "Eltwise" eltwise_param { operation: MIN }', [(2, 3), (2, 3), (2, 3)]),
    Case("eltwise_sub", 'type: "Eltwise" eltwise_param { operation: SUB }', [(2, 3), (2, 3)]),
    Case(
        "eltwise_spread",
        'type: "Eltwise" eltwise_param { operation: PROD axis: 1 }',
        [(2, 3, 4, 5), (3, 4)],
        in_place=False,
    ),
    Case(
        "conv_sides",
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad_l: 2 pad_b: 1 }',
        [(2, 3, 5, 6)],
    ),
    Case(
        "conv_same",
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 4 stride: 3 pad_type: 1 }',
        [(2, 3, 5, 7)],
    ),
    Case(
        "pool_sides",
        'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 pad_r: 1 pad_t: 2 }',
        [(2, 3, 5, 6)],
    ),
    Case(
        "pool_same",
        'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad_type: 1 }',
        [(2, 3, 5, 6)],
    ),
    Case(
        "pool_no_pad",
        'type: "Pooling" pooling_param { pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad: 1 }',
        [(2, 3, 5, 6)],
    ),
    Case(
        "pool_floor",
        'type: "Pooling" pooling_param'
        " { pool: AVE kernel_size: 3 stride: 2 pad: 1 ceil_mode: false avg_include_pad: false }",
        [(2, 3, 6, 8)],
    ),
]
