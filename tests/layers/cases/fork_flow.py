"""Layers of the optical flow forks."""

import numpy as np
from harness import Case


def flow(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1.4, 1.4, (2, 2, 4, 5))


CASES = [
    Case(
        "correlation",
        'type: "Correlation" correlation_param'
        " { pad: 3 kernel_size: 3 max_displacement: 2 stride_1: 2 stride_2: 2 }",
        [(2, 3, 4, 5), (2, 3, 4, 5)],
    ),
    Case(
        "correlation_subtract",
        'type: "Correlation" correlation_param'
        " { pad: 2 kernel_size: 1 max_displacement: 2 correlation_type: SUBTRACT }",
        [(2, 3, 4, 5), (2, 3, 4, 5)],
    ),
    Case(
        "correlation1d_left",
        'type: "Correlation1D" correlation_param'
        " { pad: 1 kernel_size: 1 max_displacement: 2 stride_2: 2 single_direction: -1 }",
        [(2, 3, 4, 5), (2, 3, 4, 5)],
    ),
    Case(
        "correlation1d",
        'type: "Correlation1D" correlation_param { pad: 2 kernel_size: 1 max_displacement: 2 }',
        [(2, 3, 4, 5), (2, 3, 4, 5)],
    ),
    Case(
        "flow_warp", 'type: "FlowWarp"', [(2, 3, 4, 5), flow], gradcheck=False
    ),  # the border's flow gradient
    Case("flow_warp_image", 'type: "FlowWarp"', [(2, 3, 4, 5), flow], grad_bottoms=[0]),
    Case(
        "resample",
        'type: "Resample" resample_param { height: 3 width: 8 type: CUBIC }',
        [(2, 3, 4, 5)],
        gradcheck=False,
    ),
    Case("resample_like", 'type: "Resample"', [(2, 3, 4, 5), (2, 1, 7, 3)], gradcheck=False),
    Case(
        "downsample",
        'type: "Downsample" downsample_param { top_height: 2 top_width: 3 }',
        [(2, 3, 4, 5)],
        gradcheck=False,
    ),
]
