"""The matrices of Winograd's minimal filtering, by Cook and Toom: F(4, 3) and F(3, 5).

At points whose rounding errors are near those of the direct sum (Barabasz et al., 2020, arXiv:1803.10986), found by
trying fractions of small numbers; float32 holds them exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

Matrix = list[list[float]]

_HALF = Fraction(1, 2)
_POINTS = {  # by the kernel's size; and infinity
    3: (Fraction(0), Fraction(1), Fraction(-1), _HALF, Fraction(-2)),
    5: (Fraction(0), Fraction(1), Fraction(-1), _HALF, -_HALF, Fraction(-3)),
}
SIZES = tuple(_POINTS)


def side(size: int) -> int:
    """How many inputs, and points, a tile has along each axis."""
    return len(_POINTS[size]) + 1


def count(size: int) -> int:
    """How many outputs a tile has along each axis."""
    return side(size) - size + 1


@cache
def inputs(size: int) -> Matrix:
    """side × side: inputs to points."""
    return [[float(x) * scale for x in row] for row, scale in zip(_inputs(size), _scales(size))]


@cache
def kernels(size: int) -> Matrix:
    """side × size: kernels to points."""
    return [[float(x) / scale for x in row] for row, scale in zip(_kernels(size), _scales(size))]


def outputs(size: int) -> Matrix:
    """count × side: points to outputs."""
    last = count(size) - 1
    return [[*(float(point**i) for point in _POINTS[size]), float(i == last)] for i in range(last + 1)]


def _inputs(size: int) -> list[list[Fraction]]:
    points = _POINTS[size]
    rows = [[*_product([p for p in points if p != point]), Fraction(0)] for point in points]
    return [*rows, _product(points)]


def _kernels(size: int) -> list[list[Fraction]]:
    points = _POINTS[size]
    slopes = [math.prod(point - other for other in points if other != point) for point in points]
    rows = [[point**k / slope for k in range(size)] for point, slope in zip(points, slopes)]
    return [*rows, [Fraction(int(k == size - 1)) for k in range(size)]]


def _scales(size: int) -> list[float]:
    """A point's inputs may be scaled against its kernels: by powers of two that make both alike in size."""
    pairs = zip(_kernels(size), _inputs(size))
    return [2.0 ** round(math.log2(_norm(k) / _norm(i)) / 2) for k, i in pairs]


def _product(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial with these roots, lowest power first."""
    product = [Fraction(1)]
    for root in roots:
        product = [low - root * high for low, high in zip([Fraction(0), *product], [*product, Fraction(0)])]
    return product


def _norm(row: Sequence[Fraction]) -> float:
    return math.hypot(*map(float, row))
