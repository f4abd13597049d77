"""Fields that forks added to BVLC's layers."""

import numpy as np
from harness import Case


def stats(*shape: int):
    return lambda rng: rng.random(shape) + 0.5


def one(rng: np.random.Generator) -> np.ndarray:
    return np.ones(1)


NVIDIA = {0: (3,), 1: stats(3), 2: one}
CASES = [
    Case(
        "batch_norm_scale_bias_train",
        'type: "BatchNorm" batch_norm_param { scale_bias: true }',
        [(2, 3, 4, 5)],
        params=NVIDIA,
    ),
    Case(
        "batch_norm_scale_bias_test",
        'type: "BatchNorm" batch_norm_param { scale_filler { value: 2 } bias_filler { value: 1 } }',
        [(2, 3, 4, 5)],
        phase="TEST",
        params=NVIDIA,
    ),
    Case(
        "batch_norm_eps_after_root_test",
        'type: "BatchNorm" batch_norm_param { eps: 0.1 add_eps_before_sqrt: false }',
        [(2, 3, 4, 5)],
        phase="TEST",
        params=NVIDIA,
    ),
    Case(
        "batch_norm_eps_after_root_train",
        'type: "BatchNorm" batch_norm_param { eps: 1e-7 add_eps_before_sqrt: false }',
        [(2, 3, 4, 5)],
        params=NVIDIA,
        gradient_atol=1e-6,  # eps is taken as part of the deviation
    ),
    Case(
        "batch_norm_relu",
        'type: "BatchNorm" batch_norm_param { relu: true }',
        [(2, 3, 4, 5)],
        params=NVIDIA,
    ),
    Case(
        "mvn_eps_under_root",
        'type: "MVN" mvn_param { eps: 1e-8 add_eps_before_sqrt: true }',
        [(2, 3, 4, 5)],
        gradient_atol=1e-6,
    ),
    Case(
        "convolution_relu",
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 relu: true negative_slope: 0.1 }',
        [(2, 3, 5, 6)],
    ),
    Case(
        "convolution_hole",
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 pad: 2 hole: 2 }',
        [(2, 3, 7, 6)],
    ),
    Case(
        "deconvolution_hole",
        'type: "Deconvolution" convolution_param { num_output: 4 kernel_size: 3 hole_h: 2 hole_w: 1 }',
        [(2, 3, 5, 6)],
    ),
]
