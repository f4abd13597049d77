"""Overlaps, codes, suppression and matching, against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffe import boxes


def some(count: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.7, (count, 2))
    return np.concatenate([low, low + rng.uniform(0.05, 0.3, (count, 2))], 1).astype(np.float32)


def overlap(a: Any, b: Any, offset: float = 0) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    common = (w + offset) * (h + offset) if w >= 0 and h >= 0 else 0
    sizes = [(c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b)]
    return common / (sum(sizes) - common) if common else 0


@pytest.mark.parametrize("offset", [0, 1])
def test_overlaps(offset: float) -> None:
    a, b = some(5) * (40 if offset else 1), some(7, 1) * (40 if offset else 1)
    found = boxes.overlaps(a, b, offset)
    np.testing.assert_allclose(found, [[overlap(x, y, offset) for y in b] for x in a], rtol=1e-5, atol=1e-7)


def test_boxes_of_no_size() -> None:
    inside_out = np.array([[0.5, 0.5, 0.2, 0.8], [0.1, 0.1, 0.1, 0.4]], np.float32)
    assert boxes.areas(inside_out).tolist() == [0, 0]
    assert not boxes.overlaps(inside_out, inside_out).any()


@pytest.mark.parametrize("code_type", [boxes.CORNER, boxes.CENTER_SIZE, boxes.CORNER_SIZE])
@pytest.mark.parametrize("variances", [None, torch.tensor([0.1, 0.2, 0.3, 0.4])])
def test_codes(code_type: int, variances: torch.Tensor | None) -> None:
    """Decoding undoes encoding; a prior's own code is 0."""
    priors, there = torch.from_numpy(some(6)), torch.from_numpy(some(6, 1))
    code = boxes.encode(there, priors, variances, code_type)
    torch.testing.assert_close(boxes.decode(code, priors, variances, code_type), there)
    assert boxes.encode(priors, priors, variances, code_type).abs().max() < 1e-6


def test_center_size_by_hand() -> None:
    prior = torch.tensor([[0.2, 0.2, 0.6, 0.4]])
    code = boxes.encode(torch.tensor([[0.3, 0.2, 0.7, 0.6]]), prior, None, boxes.CENTER_SIZE)
    torch.testing.assert_close(code, torch.tensor([[0.25, 0.5, 0.0, np.log(2.0)]], dtype=torch.float32))


def suppressed(found: Any, threshold: float, eta: float = 1) -> list[int]:
    kept: list[int] = []
    for i in range(len(found)):
        if all(boxes.overlaps(found[[k]], found[[i]])[0, 0] <= threshold for k in kept):
            kept.append(i)
            if eta < 1 and threshold > 0.5:
                threshold *= eta
    return kept


@pytest.mark.parametrize("count", [0, 1, 40, boxes.BLOCK * 3 + 5])
@pytest.mark.parametrize(("threshold", "eta"), [(0.3, 1), (0.0, 1), (0.9, 0.8)])
def test_suppress(count: int, threshold: float, eta: float) -> None:
    found = some(count, 3)
    assert boxes.suppress(found, threshold, eta).tolist() == suppressed(found, threshold, eta)
    assert boxes.suppress(found, threshold, eta, most=4).tolist() == suppressed(found, threshold, eta)[:4]


def test_of_the_smaller_area() -> None:
    """A box inside another overlaps it wholly: it goes, whatever the other's size."""
    own = np.array([[0, 0, 8, 4], [1, 1, 3, 2], [7, 3, 11, 5]], np.float32)
    ratios = boxes.overlaps(own, own, of_smaller=True)
    np.testing.assert_allclose(ratios, [[1, 1, 1 / 8], [1, 1, 0], [1 / 8, 0, 1]])
    for eta in (1, 0.9):
        assert boxes.suppress(own, 0.6, eta).tolist() == [0, 1, 2]
        assert boxes.suppress(own, 0.6, eta, of_smaller=True).tolist() == [0, 2]


def test_edges_of_whole_pixels() -> None:
    """Boxes with both ends inside overlap as their edges do."""
    pixels = np.round(some(6, 2) * 40)
    with_both_ends = boxes.overlaps(pixels, pixels, 1)
    touching = with_both_ends == 0  # boxes that share no pixel
    ends = boxes.overlaps(boxes.edges(pixels), boxes.edges(pixels))
    np.testing.assert_allclose(ends[~touching], with_both_ends[~touching], rtol=1e-6)
    assert not ends[touching].any()
    assert touching.any() and not touching.all()


@pytest.mark.parametrize("most", [None, 0, 3, 10, 50])
def test_by_score(most: int | None) -> None:
    scores = np.random.default_rng(0).integers(0, 5, 30).astype(np.float32)
    expected = sorted(range(30), key=lambda i: (-scores[i], i))[:most]
    assert boxes.by_score(scores, most).tolist() == expected


def matched(overlap: Any, per_prediction: bool, threshold: float) -> list[int]:
    """The original's procedure, pair by pair."""
    count, priors = overlap.shape
    found, left = [-1] * priors, list(range(count))
    while left:
        best = max(
            ((overlap[g, i], -i, -g) for i in range(priors) for g in left if found[i] == -1),
            default=(0, 0, 0),
        )
        if best[0] <= 1e-6:
            break
        found[-best[1]] = -best[2]
        left.remove(-best[2])
    for i in range(priors):
        if per_prediction and found[i] == -1 and overlap[:, i].max() >= threshold:
            found[i] = int(overlap[:, i].argmax())
    return found


@pytest.mark.parametrize("per_prediction", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_match(per_prediction: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    overlap = (
        rng.integers(0, 8, (5, 9)).astype(np.float32) / 10
    )  # with ties, and with more boxes than places to go
    overlap[:, rng.integers(9, size=5)] = 0
    found, largest = boxes.match(overlap, per_prediction, 0.5)
    assert found.tolist() == matched(overlap, per_prediction, 0.5)
    free = found == -1
    np.testing.assert_array_equal(largest[free], overlap.max(0)[free])


def test_match_nothing() -> None:
    found, largest = boxes.match(np.zeros((0, 3), np.float32), True, 0.5)
    assert found.tolist() == [-1] * 3
    assert largest.tolist() == [0] * 3
