"""LRN, MVN, BatchNorm."""

from harness import Case


def lrn(name, text, shape=(2, 7, 4, 5)):
    return Case(name, f'type: "LRN" lrn_param {{ {text} }}', [shape])


def mvn(name, text, shape=(2, 3, 4, 5)):
    return Case(name, f'type: "MVN" mvn_param {{ {text} }}', [shape])


def norm(name, text, shape, phase="TRAIN"):
    channels = shape[1:2] or (1,)
    statistics = {0: channels, 1: lambda rng: rng.uniform(1, 2, channels), 2: lambda rng: [2.0]}
    layer = f'type: "BatchNorm" batch_norm_param {{ {text} }}'
    return Case(name, layer, [shape], phase=phase, params=statistics)


CASES = [
    lrn("lrn", "local_size: 5 alpha: 0.7"),
    lrn("lrn_beta_half", "local_size: 3 alpha: 0.7 beta: 0.5 k: 2"),
    lrn("lrn_beta", "local_size: 3 alpha: 0.7 beta: 0.9 k: 1.5"),
    lrn("lrn_larger_than_channels", "local_size: 9 alpha: 0.7", (2, 3, 4, 5)),
    lrn("lrn_many_channels", "local_size: 5 alpha: 0.7", (1, 300, 1, 2)),
    lrn("lrn_2d", "local_size: 3 alpha: 0.7", (2, 7)),
    lrn("lrn_within", "local_size: 3 alpha: 0.7 norm_region: WITHIN_CHANNEL"),
    lrn("lrn_within_wide", "local_size: 7 alpha: 0.7 k: 3 norm_region: WITHIN_CHANNEL"),
    mvn("mvn", ""),
    mvn("mvn_across", "across_channels: true"),
    mvn("mvn_mean_only", "normalize_variance: false"),
    mvn("mvn_3d", "across_channels: true", (2, 3, 4)),
    mvn("mvn_2d_mean_only", "normalize_variance: false", (3, 4)),
    norm("batchnorm", "", (4, 3, 2, 5)),
    norm("batchnorm_fc", "eps: 0.01", (4, 3)),
    norm("batchnorm_1d", "moving_average_fraction: 0.5", (5,)),
    norm("batchnorm_3d", "", (4, 3, 2)),
    norm("batchnorm_5d", "", (2, 3, 2, 4, 3)),
    norm("batchnorm_global", "use_global_stats: true", (4, 3, 2, 5)),
    norm("batchnorm_test", "", (4, 3, 2, 5), phase="TEST"),
    norm("batchnorm_test_local", "use_global_stats: false", (4, 3, 2, 5), phase="TEST"),
]
