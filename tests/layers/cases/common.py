"""Scale, Bias, Embed."""

from harness import Case


def scale(name, text, *shapes):
    return Case(name, f'type: "Scale" scale_param {{ {text} }}', list(shapes))


def bias(name, text, *shapes):
    return Case(name, f'type: "Bias" bias_param {{ {text} }}', list(shapes))


def embed(name, text, *shape):
    layer = f'type: "Embed" embed_param {{ num_output: 4 input_dim: 7 {text} }}'
    return Case(name, layer, [lambda rng: rng.integers(0, 7, shape)])


CASES = [
    scale("scale", "", (2, 3, 4, 5)),
    scale("scale_bias", "bias_term: true", (2, 3, 4, 5)),
    scale("scale_axes", "axis: 1 num_axes: 2 bias_term: true", (2, 3, 4, 5)),
    scale("scale_rest", "axis: -2 num_axes: -1", (2, 3, 4, 5)),
    scale("scale_all", "axis: 0 num_axes: -1 bias_term: true", (2, 3, 4)),
    scale("scale_scalar", "num_axes: 0 bias_term: true", (2, 3, 4)),
    scale("scale_two", "axis: 0", (2, 3, 4, 5), (2, 3)),
    scale("scale_two_bias", "bias_term: true", (2, 3, 4, 5), (3, 4)),
    scale("scale_two_whole", "axis: 0", (2, 3, 4), (2, 3, 4)),
    scale("scale_two_scalar", "axis: 1", (2, 3, 4), ()),
    scale("scale_fc_bias", "bias_term: true", (2, 3)),
    bias("bias", "", (2, 3, 4, 5)),
    bias("bias_axes", "axis: 1 num_axes: 2", (2, 3, 4, 5)),
    bias("bias_scalar", "num_axes: 0", (2, 3)),
    bias("bias_rest", "axis: 2 num_axes: -1", (2, 3, 4, 5)),
    bias("bias_two", "axis: -1", (2, 3, 4), (4,)),
    bias("bias_two_scalar", "", (2, 3, 4), ()),
    embed("embed", "", 3, 2),
    embed("embed_nobias", "bias_term: false", 5),
]
