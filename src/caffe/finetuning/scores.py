"""How good a classifier is: confusion, precision and recall of each class, the most wrong images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Wrong:
    """An image of one class taken for another, and how sure the net was of that.

    Where images may be of several classes, ``taken_for`` is None for one that was missed, ``label`` None for one that
    is not there.
    """

    image: str
    label: int | None
    taken_for: int | None
    probability: float

    def said(self, labels: list[str]) -> str:
        """In words."""
        sure = f"({self.probability:.0%})"
        if self.taken_for is None:
            return f"{labels[self.label or 0]} missed {sure}"
        if self.label is None:
            return f"no {labels[self.taken_for]}, but found {sure}"
        return f"{labels[self.label]}, taken for {labels[self.taken_for]} {sure}"


@dataclass
class Scores:
    """Of ``images`` with ``labels``, from probabilities (images × classes)."""

    images: list[str]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]

    @property
    def best(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def accuracy(self) -> float:
        return float((self.best == self.labels).mean())

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Row: the class; column: what it was taken for."""
        count = self.probabilities.shape[1]
        pairs = self.labels * count + self.best
        return np.bincount(pairs, minlength=count * count).reshape(count, count)

    def by_class(self) -> list[tuple[float, float, int]]:
        """Precision, recall and number of images of each class; precision is NaN where nothing was taken for it."""
        count, best = self.probabilities.shape[1], self.best
        right = np.bincount(best[best == self.labels], minlength=count)
        return _shares(right, np.bincount(best, minlength=count), np.bincount(self.labels, minlength=count))

    def most_wrong(self, most: int = 12) -> list[Wrong]:
        """The wrong images of which the net was surest."""
        best = self.best
        sure = self.probabilities.max(axis=1)
        order = [int(i) for i in np.argsort(-sure, kind="stable") if best[i] != self.labels[i]]
        return [
            Wrong(self.images[i], int(self.labels[i]), int(best[i]), float(sure[i])) for i in order[:most]
        ]


@dataclass
class MarkScores:
    """Of ``images`` that may be of several classes: ``marks`` (0 or 1) and probabilities, both images × classes."""

    images: list[str]
    marks: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]

    @property
    def accuracy(self) -> float:
        """The share of marks that are right, a class found where its probability is at least a half."""
        return float(((self.probabilities >= 0.5) == (self.marks == 1)).mean())

    def by_class(self) -> list[tuple[float, float, int]]:
        """Precision, recall and number of images of each class; NaN where nothing was taken for it, or is of it."""
        rows = self.probabilities >= 0.5
        wanted = self.marks == 1
        return _shares((rows & wanted).sum(axis=0), rows.sum(axis=0), wanted.sum(axis=0))

    def most_wrong(self, most: int = 12) -> list[Wrong]:
        """The images with a mark that the net was surest is otherwise."""
        off = np.abs(self.probabilities - self.marks)
        rows, columns = np.unravel_index(np.argsort(-off, axis=None, kind="stable")[:most], off.shape)
        return [
            Wrong(
                self.images[i],
                k if self.marks[i, k] else None,
                None if self.marks[i, k] else k,
                float(self.probabilities[i, k]),
            )
            for i, k in zip(rows.tolist(), columns.tolist())
            if off[i, k] > 0.5
        ]


def _shares(right: Counts, taken: Counts, there: Counts) -> list[tuple[float, float, int]]:
    nan = float("nan")
    return [
        (r / t if t else nan, r / n if n else nan, n)
        for r, t, n in zip(right.tolist(), taken.tolist(), there.tolist())
    ]
