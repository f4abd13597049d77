"""SegAccuracy against the definitions, class by class."""

from __future__ import annotations

import numpy as np
import pytest
from harness import make_layer

from caffe.blob import Blob


def forward(text: str, *batches: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    layer = make_layer(f'type: "SegAccuracy" seg_accuracy_param {{ {text} }}', *(b.shape for b in batches[0]))
    top = Blob()
    for arrays in batches:
        bottoms = [Blob(*a.shape) for a in arrays]
        for blob, a in zip(bottoms, arrays):
            blob.data[...] = a
        layer.forward(bottoms, [top])
    return top.data.ravel()


def batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (2, 5, 3, 4))  # many ties
    return scores, rng.choice([0, 1, 2, 255], (2, 1, 3, 4))


def expected(*batches: tuple[np.ndarray, np.ndarray]) -> list[float]:
    found = np.concatenate([4 - scores[:, ::-1].argmax(1).ravel() for scores, _ in batches])
    labels = np.concatenate([labels.ravel() for _, labels in batches])
    found, labels = found[labels != 255], labels[labels != 255]
    recalls = [(found[labels == c] == c).mean() for c in range(5) if (labels == c).any()]
    overlaps = []
    for c in range(5):
        union = ((found == c) | (labels == c)).sum()
        overlaps.append(((found == c) & (labels == c)).sum() / union if union else 1.0)
    return [(found == labels).mean(), float(np.mean(recalls)), float(np.mean(overlaps))]


def test_of_one_batch() -> None:
    np.testing.assert_allclose(forward("ignore_label: 255", batch(0)), expected(batch(0)), rtol=1e-6)
    twice = forward("ignore_label: 255", batch(0), batch(1))
    np.testing.assert_allclose(twice, expected(batch(1)), rtol=1e-6)


def test_without_reset_it_counts_on() -> None:
    found = forward("ignore_label: 255 reset: false", batch(0), batch(1))
    np.testing.assert_allclose(found, expected(batch(0), batch(1)), rtol=1e-6)


def test_all_ignored() -> None:
    scores, labels = batch(0)
    np.testing.assert_array_equal(forward("ignore_label: 7", (scores, labels * 0 + 7)), [0, 0, 1])


def test_a_label_outside_is_never_found(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")
    scores = np.zeros((1, 2, 1, 3))
    scores[0, 1, 0, 2] = 1  # found: 1, 1, 1, as the last of equals counts
    labels = np.array([1, 2, 1]).reshape(1, 1, 1, 3)
    found = forward("", (scores, labels))
    np.testing.assert_allclose(found, [2 / 3, 1, (1 + 2 / 3) / 2], rtol=1e-6)
    assert "labels should be from 0 to 1; got 2" in capfd.readouterr().err
