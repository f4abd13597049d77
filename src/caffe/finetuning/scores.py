"""How good a classifier is: confusion, precision and recall of each class, the most wrong images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Wrong:
    """An image of one class taken for another, and how sure the net was of that."""

    image: str
    label: int
    taken_for: int
    probability: float


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
        table = self.confusion
        found = []
        for i in range(len(table)):
            taken, there = int(table[:, i].sum()), int(table[i].sum())
            precision = table[i, i] / taken if taken else float("nan")
            found.append((float(precision), float(table[i, i] / there if there else float("nan")), there))
        return found

    def most_wrong(self, most: int = 12) -> list[Wrong]:
        """The wrong images of which the net was surest."""
        best = self.best
        sure = self.probabilities.max(axis=1)
        order = [int(i) for i in np.argsort(-sure, kind="stable") if best[i] != self.labels[i]]
        return [
            Wrong(self.images[i], int(self.labels[i]), int(best[i]), float(sure[i])) for i in order[:most]
        ]
