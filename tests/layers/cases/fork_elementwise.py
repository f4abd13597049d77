"""Activations of the forks, value by value."""

import numpy as np
from harness import Case


def inside(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-0.9, 0.9, (2, 3, 4))


X = [(2, 3, 4)]
CASES = [
    Case("arccos", 'type: "Arccos"', [inside]),
    Case("atan", 'type: "Atan"', X),
    Case("ceil", 'type: "Ceil"', X, gradcheck=False),
    Case("cosine", 'type: "Cosine"', X, gradcheck=False),  # its gradient leaves the top's diff out
    Case("floor", 'type: "Floor"', X, gradcheck=False),
    Case("hard_sigmoid", 'type: "HardSigmoid" hard_sigmoid_param { alpha: 0.3 }', X),
    Case("hard_swish", 'type: "HardSwish"', X),
    Case("hard_tanh", 'type: "HardTanH"', X),
    Case("mish", 'type: "Mish"', X),
    Case(
        "relu_bounds",
        'type: "ReLU" relu_param { negative_slope: 0.5 maximum: 0.7 minimum: -0.4 }',
        X,
        gradcheck=False,
    ),  # the gradient ends at x = minimum, the value at slope · x
    Case("relu_six", 'type: "ReLU" relu_param { relu6: true }', [lambda rng: rng.normal(3, 4, (2, 3, 4))]),
    Case("relu_maximum_bottom", 'type: "ReLU"', [(2, 3, 4), lambda rng: np.array([0.5])], in_place=False),
    Case("round", 'type: "Round"', X, gradcheck=False),
    Case("scaled_tanh", 'type: "ScaledTanH" scaled_tanh_param { alpha: 1.7 beta: 0.6 }', X),
    Case("selu", 'type: "SeLU"', X),
    Case("sin", 'type: "Sin"', X),
    Case("softplus", 'type: "Softplus"', X),
    Case("softsign", 'type: "Softsign"', X),
    Case("spatial_dropout", 'type: "SpatialDropout"', [(2, 3, 4, 5)], random=True),
    Case("spatial_dropout_test", 'type: "SpatialDropout"', [(2, 3, 4, 5)], phase="TEST"),
    Case("thresholded_relu", 'type: "ThresholdedReLU"', X),
    Case("xlu", 'type: "XLU"', X),
]
