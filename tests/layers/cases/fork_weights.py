"""Losses and products of the forks: values weighted by another bottom, heat maps."""

from harness import Case


def positive(*shape: int):
    return lambda rng: rng.random(shape) + 0.5


CASES = [
    Case("weighted_euclidean", 'type: "WeightedEuclideanLoss"', [(3, 4, 2), (3, 8), positive(3, 4, 2)]),
    Case(
        "euclidean_heatmap",
        'type: "EuclideanLossHeatmap"',
        [(2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 8, 10)],
        gradcheck=False,  # the gradient is not that of the mean
    ),
    Case("channel_scale", 'type: "ChannelScale"', [(2, 3, 4, 5), positive(2, 1, 4, 5)]),
    Case("channel_scale_flat", 'type: "ChannelScale"', [(3, 5), (3,)]),
]
