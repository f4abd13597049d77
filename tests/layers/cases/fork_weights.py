"""Layers of the forks that weight values by another bottom."""

from harness import Case


def positive(*shape: int):
    return lambda rng: rng.random(shape) + 0.5


CASES = [
    Case("weighted_euclidean", 'type: "WeightedEuclideanLoss"', [(3, 4, 2), (3, 8), positive(3, 4, 2)]),
    Case("channel_scale", 'type: "ChannelScale"', [(2, 3, 4, 5), positive(2, 1, 4, 5)]),
    Case("channel_scale_flat", 'type: "ChannelScale"', [(3, 5), (3,)]),
]
