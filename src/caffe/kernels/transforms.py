"""The matrices of Winograd's minimal filtering, by Cook and Toom, for tiles of 6 inputs a side.

At the points 0, 1, −1, 1/2, −2, ∞, whose rounding errors are near those of the direct sum (Barabasz et al., 2020,
arXiv:1803.10986).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

SIDE = 6
_POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2))  # and infinity

Matrix = list[list[float]]


@cache
def inputs() -> Matrix:
    """6 × 6: inputs to points."""
    return [[float(x) * scale for x in row] for row, scale in zip(_inputs(), _scales())]


def kernels(size: int) -> Matrix:
    """6 × size: kernels of ``size`` to points."""
    return [[float(x) / scale for x in row] for row, scale in zip(_kernels(size), _scales())]


def outputs(count: int) -> Matrix:
    """count × 6: points to outputs."""
    return [[*(float(point**i) for point in _POINTS), float(i == count - 1)] for i in range(count)]


def _inputs() -> list[list[Fraction]]:
    rows = [[*_product([p for p in _POINTS if p != point]), Fraction(0)] for point in _POINTS]
    return [*rows, _product(_POINTS)]


def _kernels(size: int) -> list[list[Fraction]]:
    slopes = [math.prod(point - other for other in _POINTS if other != point) for point in _POINTS]
    rows = [[point**k / slope for k in range(size)] for point, slope in zip(_POINTS, slopes)]
    return [*rows, [Fraction(int(k == size - 1)) for k in range(size)]]


@cache
def _scales() -> list[float]:
    """A point's inputs may be scaled against its kernels: by powers of two that make both alike in size."""
    return [2.0 ** round(math.log2(_norm(k) / _norm(i)) / 2) for k, i in zip(_kernels(3), _inputs())]


def _product(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial with these roots, lowest power first."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)])]
    return found


def _norm(row: Sequence[Fraction]) -> float:
    return math.hypot(*map(float, row))
