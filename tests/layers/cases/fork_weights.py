"""Layers of the forks that weight values by another bottom."""

from harness import Case


def positive(*shape: int):
    return lambda rng: rng.random(shape) + 0.5


CASES = [
    Case("weighted_euclidean", 'type: "WeightedEuclideanLoss"', [(3, 4, 2), (3, 8), positive(3, 4, 2)]),
    Case("channel_scale", 'type: "ChannelScale"', [(2, 3, 4, 5), positive(2, 1, 4, 5)]),
    Case("channel_scale_flat", 'type: "ChannelScale"', [(3, 5), (3,)]),
    Case(
        "inner_distance",
        'type: "InnerDistance" inner_distance_param { num_output: 4 weight_filler { type: "gaussian" std: 1 } }',
        [(2, 3, 5)],
    ),
    Case(
        "inner_distance_l1",
        'type: "InnerDistance" inner_distance_param { num_output: 4 distance_type: "L1" bias_term: false axis: 2 }',
        [(2, 3, 5)],
        gradcheck=False,  # the original's gradient is not the derivative
    ),
    Case(
        "inner_distance_normalized",
        'type: "InnerDistance" inner_distance_param { num_output: 4 normalize: true }',
        [(2, 5)],
        gradcheck=False,  # a point moved by a little is made as long as before
    ),
    Case(
        "inner_distance_given",
        'type: "InnerDistance" inner_distance_param { num_output: 4 }',
        [(2, 3, 5), (4, 15)],
    ),
]
