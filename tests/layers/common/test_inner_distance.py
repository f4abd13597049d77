"""InnerDistance: figures by hand, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from harness import Case, build, make_layer

from caffe.errors import CaffeError

TEXT = 'type: "InnerDistance" inner_distance_param { num_output: 2 '


@pytest.mark.parametrize(("kind", "wanted"), [("L2", [[5, 0], [29, 16]]), ("L1", [[3, 0], [7, 4]])])
def test_distances(kind: str, wanted: list[list[float]]) -> None:
    built = build(Case("d", TEXT + f'distance_type: "{kind}" }}', [(2, 2)]))
    built.bottoms[0].data[...] = [[1, 2], [-3, 2]]
    built.layer.blobs[0].data[...] = [[2, 0], [1, 2]]
    built.layer.forward(built.bottoms, built.tops)
    np.testing.assert_array_equal(built.tops[0].data, wanted)


def test_normalize_changes_the_points() -> None:
    built = build(Case("d", TEXT + "normalize: true bias_term: false }", [(3, 2)]))
    built.layer.blobs[0].data[...] = [[3, 4], [0, 0]]
    built.layer.forward(built.bottoms, built.tops)
    np.testing.assert_allclose(built.layer.blobs[0].data, [[0.6, 0.8], [0, 0]], atol=1e-6)
    x = built.bottoms[0].data
    np.testing.assert_allclose(
        built.tops[0].data, ((x[:, None] - built.layer.blobs[0].data) ** 2).sum(-1), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["L1", "L2"])
@pytest.mark.parametrize("centers", [False, True])
def test_gradients_are_the_original_ones(kind: str, centers: bool) -> None:
    """Of L1 the fork's sign lacks its parentheses: ∂y · [d > 0] - [d < 0]."""
    rng = np.random.default_rng(2)
    x, w, g = rng.standard_normal((3, 5)), rng.standard_normal((4, 5)), rng.standard_normal((3, 4))
    labels = np.array([2, 0, 2])
    bottoms = [x, w, *([labels] if centers else [])]
    more = f'distance_type: "{kind}" update_center_only: {str(centers).lower()} }}'
    built = build(Case("d", TEXT + more, [(lambda _, v=v: v) for v in bottoms]))
    built.layer.forward(built.bottoms, built.tops)
    built.tops[0].diff[...] = g
    built.layer.backward(built.tops, [i < 2 for i in range(len(bottoms))], built.bottoms)
    of_x, of_w = np.zeros_like(x), np.zeros_like(w)
    for m, n, k in np.ndindex(3, 4, 5):
        d = x[m, k] - w[n, k]
        if kind == "L2":
            of_x[m, k] += 2 * g[m, n] * d
        else:
            of_x[m, k] += g[m, n] * (d > 0) - (d < 0)
        if not centers or labels[m] == n:
            of_w[n, k] += -2 * g[m, n] * d if kind == "L2" else g[m, n] * (d < 0) - (d > 0)
    np.testing.assert_allclose(built.bottoms[0].diff, of_x, atol=1e-5)
    np.testing.assert_allclose(built.bottoms[1].diff, of_w, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "shapes", "says"),
    [
        ('type: "InnerDistance"', [(2, 3)], "at least 1; got 0"),
        (TEXT + 'distance_type: "L3" }', [(2, 3)], '"L2" or "L1"'),
        (TEXT + "transpose: true }", [(2, 3)], "rows"),
        (TEXT + "update_center_only: true }", [(2, 3)], "3 bottoms with update_center_only"),
        (TEXT + "update_center_only: true }", [(2, 3), (4, 3), (3,)], "a label for each item"),
        (TEXT + "bias_term: false }", [(2, 3), (2, 4)], "must be 2×3"),
        (TEXT + "}", [(2, 3), (2, 3), (3,)], "3 only with update_center_only"),
    ],
)
def test_bad_input(text: str, shapes: list[tuple[int, ...]], says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        make_layer(text, *shapes)
