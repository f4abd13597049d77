"""BVLC's layers that rearrange, combine or inspect blobs."""

import numpy as np
from harness import Case

X = (2, 3, 4, 5)


def labels(classes: int, *shape: int):  # type: ignore[no-untyped-def]
    return lambda rng: rng.integers(0, classes, shape)


def ties(rng: np.random.Generator) -> object:
    return rng.integers(0, 3, (4, 6, 5))


def exact(values: object):  # type: ignore[no-untyped-def]
    return lambda rng: np.array(values)


def accuracy(name: str, inside: str, *bottoms: object, tops: int = 1) -> Case:
    return Case(name, f'type: "Accuracy" accuracy_param {{ {inside} }}', bottoms, tops=tops, phase="TEST")  # type: ignore[arg-type]


def argmax(name: str, inside: str, bottom: object) -> Case:
    return Case(name, f'type: "ArgMax" argmax_param {{ {inside} }}', [bottom], phase="TEST", gradcheck=False)  # type: ignore[list-item]


def eltwise(name: str, inside: str, *bottoms: object) -> Case:
    return Case(name, f'type: "Eltwise" eltwise_param {{ {inside} }}', bottoms)  # type: ignore[arg-type]


def reshape(name: str, inside: str, bottom: tuple[int, ...] = X) -> Case:
    return Case(name, f'type: "Reshape" reshape_param {{ {inside} }}', [bottom])


CASES = [
    accuracy("accuracy", "", (6, 5), labels(5, 6)),
    accuracy("accuracy_top_k", "top_k: 3", (6, 5), labels(5, 6)),
    accuracy("accuracy_axis", "axis: -1", (2, 3, 5), labels(5, 2, 3)),
    accuracy("accuracy_spatial", "ignore_label: 2 top_k: 2", (2, 5, 3, 4), labels(5, 2, 1, 3, 4), tops=2),
    accuracy("accuracy_all_ignored", "ignore_label: 1", (3, 4), exact([1, 1, 1]), tops=2),
    argmax("argmax", "", (3, 4, 5)),
    argmax("argmax_val", "out_max_val: true top_k: 3", (3, 2, 5, 4)),
    argmax("argmax_axis", "axis: -2 top_k: 2", (3, 4, 5)),
    argmax("argmax_axis_values", "axis: 2 out_max_val: true top_k: 4", (3, 2, 5, 4)),
    argmax("argmax_ties", "top_k: 7", ties),
    Case("batch_reindex", 'type: "BatchReindex"', [(4, 3, 2), exact([3, 0, 0, 2, 3.0])]),
    Case("batch_reindex_none", 'type: "BatchReindex"', [(4, 3, 2), (0,)]),
    Case("concat", 'type: "Concat"', [(2, 3, 4, 5), (2, 1, 4, 5), (2, 6, 4, 5)]),
    Case("concat_axis", 'type: "Concat" concat_param { axis: -1 }', [(2, 3, 4), (2, 3, 1)]),
    Case("concat_dim", 'type: "Concat" concat_param { concat_dim: 0 }', [(2, 3, 4), (5, 3, 4)]),
    Case("concat_one", 'type: "Concat"', [(2, 3, 4)]),
    eltwise("eltwise", "", X, X),
    eltwise("eltwise_coeff", "coeff: 0.5 coeff: -2 coeff: 1", X, X, X),
    eltwise("eltwise_prod", "operation: PROD", X, X, X),
    eltwise("eltwise_prod_unstable", "operation: PROD stable_prod_grad: false", X, X),
    eltwise("eltwise_max", "operation: MAX", X, X, X),
    Case("filter", 'type: "Filter"', [(5, 3, 2), (5, 4), exact([1, 0, -2, 0.5, 0])], tops=2),
    Case("filter_selector_4d", 'type: "Filter"', [(3, 4), exact([[[0]], [[1]], [[1]]])]),
    Case(
        "filter_channels",
        'type: "Filter" filter_param { num_output: 2 }',
        [(3, 4, 5)],
        params={0: exact([0, 1, 0, 1])},
    ),
    Case("filter_nothing", 'type: "Filter"', [(3, 4), exact([0, 0, 0])]),
    Case("flatten", 'type: "Flatten"', [X]),
    Case("flatten_axes", 'type: "Flatten" flatten_param { axis: -3 end_axis: 2 }', [X]),
    Case("flatten_nothing", 'type: "Flatten" flatten_param { axis: 2 end_axis: 1 }', [X]),
    Case("reduction", 'type: "Reduction"', [X]),
    Case("reduction_mean", 'type: "Reduction" reduction_param { operation: MEAN axis: 1 coeff: -3 }', [X]),
    Case("reduction_asum", 'type: "Reduction" reduction_param { operation: ASUM axis: -1 coeff: 2 }', [X]),
    Case("reduction_sumsq", 'type: "Reduction" reduction_param { operation: SUMSQ axis: 2 }', [X]),
    reshape("reshape", "shape { dim: 0 dim: -1 dim: 4 }"),
    reshape("reshape_all", "shape { dim: -1 }"),
    reshape("reshape_axis", "shape { dim: 5 dim: -1 } axis: 2 num_axes: 2"),
    reshape("reshape_insert_front", "shape { dim: 1 } axis: 0 num_axes: 0"),
    reshape("reshape_insert_end", "shape { dim: 1 dim: 1 } axis: -1 num_axes: 0"),
    reshape("reshape_copy_in_place", "shape { dim: 0 dim: 2 dim: -1 } axis: 1"),
    reshape("reshape_to_scalar", "shape { }", (1, 1)),
    reshape("reshape_pixelshuffler", "pixelshuffler: 2", (2, 12, 3, 5)),
    Case("silence", 'type: "Silence"', [(2, 3), (4,)], tops=0),
    Case("slice", 'type: "Slice"', [(2, 6, 4, 5)], tops=3),
    Case("slice_points", 'type: "Slice" slice_param { axis: -1 slice_point: 1 slice_point: 3 }', [X], tops=3),
    Case("slice_dim", 'type: "Slice" slice_param { slice_dim: 0 slice_point: 1 }', [(3, 4)], tops=2),
    Case("slice_one", 'type: "Slice"', [X]),
    Case("softmax", 'type: "Softmax"', [X]),
    Case("softmax_axis", 'type: "Softmax" softmax_param { axis: -1 }', [X]),
    Case("split", 'type: "Split"', [X], tops=3),
    Case("tile", 'type: "Tile" tile_param { tiles: 3 }', [X]),
    Case("tile_axis", 'type: "Tile" tile_param { axis: -1 tiles: 2 }', [(2, 3, 4)]),
    Case("parameter", 'type: "Parameter" parameter_param { shape { dim: 2 dim: 3 } }'),
    Case("input", 'type: "Input" input_param { shape { dim: 2 dim: 3 } shape { dim: 4 } }', tops=2),
    Case("input_without_shape", 'type: "Input"'),
    Case(
        "dummy_data",
        'type: "DummyData" dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "gaussian" }'
        " data_filler { value: 2 } }",
        tops=2,
    ),
    Case(
        "dummy_data_old",
        'type: "DummyData" dummy_data_param { num: 2 num: 3 channels: 4 height: 1 width: 5 }',
        tops=2,
    ),
]
