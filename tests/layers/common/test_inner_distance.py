"""InnerDistance: figures by hand, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from harness import Case, build, make_layer

from caffe.errors import CaffeError

TEXT = 'type: "InnerDistance" inner_distance_param { num_output: 2 '


@pytest.mark.parametrize(("kind", "wanted"), [("L2", [[6, 0], [30, 16]]), ("L1", [[4, 0], [8, 4]])])
def test_distances(kind: str, wanted: list[list[float]]) -> None:
    built = build(Case("d", TEXT + f'distance_type: "{kind}" }}', [(2, 2)]))
    built.bottoms[0].data[...] = [[1, 2], [-3, 2]]
    built.layer.blobs[0].data[...] = [[2, 0], [1, 2]]
    built.layer.blobs[1].data[...] = [1, 0]
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


@pytest.mark.parametrize(
    ("text", "shapes", "says"),
    [
        ('type: "InnerDistance"', [(2, 3)], "at least 1; got 0"),
        (TEXT + 'distance_type: "L3" }', [(2, 3)], '"L2" or "L1"'),
        (TEXT + "transpose: true }", [(2, 3)], "rows"),
        (TEXT + "update_center_only: true }", [(2, 3)], "fork's field"),
        (TEXT + "}", [(2, 3), (2, 3)], "must be false for 2 bottoms"),
        (TEXT + "bias_term: false }", [(2, 3), (2, 4)], "must be 2×3"),
        (TEXT + "}", [(2, 3), (2, 3), (3,)], "2 values"),
    ],
)
def test_bad_input(text: str, shapes: list[tuple[int, ...]], says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        make_layer(text, *shapes)
