"""BVLC's activations."""

import numpy as np
from harness import Case

SHAPE = (2, 3, 4, 5)


def positive(rng: np.random.Generator) -> object:
    return rng.uniform(0.2, 3, SHAPE)


def away_from(*kinks: float) -> object:
    """Noise that keeps finite differences on one side of each kink."""

    def make(rng: np.random.Generator) -> object:
        x = rng.uniform(-2, 2, SHAPE)
        for kink in kinks:
            near = np.abs(x - kink) < 0.05
            x[near] = kink + 0.2
        return x

    return make


def extreme(rng: np.random.Generator) -> object:
    return np.array([[-100.0, -60, -30, 0, 1e-8], [30, 49, 51, 88, 100]])


CASES = [
    Case("absval", 'type: "AbsVal"', [away_from(0)]),
    Case("bnll", 'type: "BNLL"', [SHAPE]),
    Case("bnll_extreme", 'type: "BNLL"', [extreme]),
    Case("clip", 'type: "Clip" clip_param { min: -0.5 max: 0.75 }', [away_from(-0.5, 0.75)]),
    Case("clip_to_a_point", 'type: "Clip" clip_param { min: 0.5 max: 0.5 }', [SHAPE]),
    Case("dropout", 'type: "Dropout"', [SHAPE], random=True),
    Case("dropout_ratio", 'type: "Dropout" dropout_param { dropout_ratio: 0.2 }', [SHAPE], random=True),
    Case("dropout_none", 'type: "Dropout" dropout_param { dropout_ratio: 0 }', [(3, 4)]),
    Case("dropout_test", 'type: "Dropout" dropout_param { dropout_ratio: 0.7 }', [SHAPE], phase="TEST"),
    Case("dropout_unscaled", 'type: "Dropout" dropout_param { scale_train: false }', [SHAPE], random=True),
    Case(
        "dropout_unscaled_test",
        'type: "Dropout" dropout_param { scale_train: false dropout_ratio: 0.2 }',
        [SHAPE],
        phase="TEST",
    ),
    Case(
        "dropout_sampled_test",
        'type: "Dropout" dropout_param { sample_weights_test: true }',
        [SHAPE],
        phase="TEST",
        random=True,
    ),
    Case("elu", 'type: "ELU"', [SHAPE]),
    Case("elu_alpha", 'type: "ELU" elu_param { alpha: 0.3 }', [away_from(0)]),
    Case("elu_alpha_0", 'type: "ELU" elu_param { alpha: 0 }', [away_from(0)]),
    Case("exp", 'type: "Exp"', [SHAPE]),
    Case("exp_e_shift", 'type: "Exp" exp_param { shift: 0.5 scale: -2 }', [SHAPE]),
    Case("exp_base", 'type: "Exp" exp_param { base: 2 shift: 1.5 scale: 3 }', [SHAPE]),
    Case("exp_base_below_1", 'type: "Exp" exp_param { base: 0.25 }', [SHAPE]),
    Case("exp_base_1", 'type: "Exp" exp_param { base: 1 shift: 3 }', [SHAPE]),
    Case("log", 'type: "Log"', [positive]),
    Case("log_base", 'type: "Log" log_param { base: 2 scale: 1.5 shift: 0.25 }', [positive]),
    Case("log_base_below_1", 'type: "Log" log_param { base: 0.5 }', [positive]),
    Case("power", 'type: "Power"', [SHAPE]),
    Case("power_affine", 'type: "Power" power_param { scale: -2 shift: 0.5 }', [SHAPE]),
    Case("power_square", 'type: "Power" power_param { power: 2 scale: 1.5 shift: -1 }', [SHAPE]),
    Case("power_root", 'type: "Power" power_param { power: 0.37 scale: 0.83 shift: 2.4 }', [positive]),
    Case("power_inverse", 'type: "Power" power_param { power: -1 }', [positive]),
    Case("power_0", 'type: "Power" power_param { power: 0 scale: 3 }', [SHAPE], gradcheck=False),
    Case(
        "power_scale_0", 'type: "Power" power_param { power: 3 scale: 0 shift: 2 }', [SHAPE], gradcheck=False
    ),
    Case("prelu", 'type: "PReLU"', [SHAPE]),
    Case("prelu_shared", 'type: "PReLU" prelu_param { channel_shared: true }', [SHAPE]),
    Case("prelu_2d", 'type: "PReLU"', [(4, 3)]),
    Case("relu", 'type: "ReLU"', [away_from(0)]),
    Case("relu_slope", 'type: "ReLU" relu_param { negative_slope: 0.3 }', [away_from(0)]),
    Case("sigmoid", 'type: "Sigmoid"', [SHAPE]),
    Case("sigmoid_extreme", 'type: "Sigmoid"', [extreme]),
    Case("swish", 'type: "Swish"', [SHAPE]),
    Case("swish_beta", 'type: "Swish" swish_param { beta: 0.7 }', [SHAPE]),
    Case("tanh", 'type: "TanH"', [SHAPE]),
    Case("threshold", 'type: "Threshold"', [SHAPE], gradcheck=False),
    Case("threshold_at", 'type: "Threshold" threshold_param { threshold: 0.4 }', [SHAPE], gradcheck=False),
]
