"""The table of operators: how each becomes layers, and what is said where one cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from caffe import dialects
from caffe.errors import InputError

Rule = Callable[..., Any]
_R = TypeVar("_R", bound=Rule)

RULES: dict[str, Rule] = {}
"""How each operator becomes layers: its name → a function of the emitter and the operator's arguments."""
CUTTING: dict[str, Callable[..., tuple[int, list[tuple[int, int]]]]] = {}
"""Operators that take ranges of an axis: name → function of the shape and arguments to (axis, ranges)."""


def rule(*ops: str, padded: bool = False) -> Callable[[_R], _R]:
    """Register how operators become layers. With ``padded``, the rule takes places with their padding to come."""

    def register(function: _R) -> _R:
        function.padded = padded  # type: ignore[attr-defined]
        for op in ops:
            RULES[op] = function
        return function

    return register


class Inexpressible(Exception):
    """An operator that has no form here: what is lacking, the layer types that would do, a way around."""

    def __init__(self, what: str, types: Sequence[str] = (), fix: str = "") -> None:
        super().__init__(what)
        self.types, self.fix = tuple(types), fix

    def refusal(self, what: str, dialect: str) -> InputError:
        """That ``what`` cannot be written in a dialect; it names those that have what is lacking."""
        fix = self.fix
        having = [d for d in dialects_with(self.types) if d != dialect]
        if having:
            names = ", ".join(f"'{d}'" for d in having[:6])
            more = " and others" if len(having) > 6 else ""
            hint = f"Dialects with {' and '.join(self.types)}: {names}{more}; give, say, dialect={having[0]}"
            fix = f"{hint}. {fix}" if fix else hint
        return InputError(
            f"{what} cannot be written in dialect '{dialect}': {self}",
            fix=fix
            or "Rewrite this part of the model with other operators, or give it to the net as an input",
        )


def dialects_with(types: Sequence[str]) -> list[str]:
    """The dialects that have all these layer types; none for no type."""
    having = [set(dialects.having(t)) for t in types]
    return sorted(set.intersection(*having), key=_known_first) if having else []


def _known_first(name: str) -> tuple[bool, int, str]:
    """Forks that train before toolchains, those that most people have first."""
    order = ("ssd", "caffe-torch", "nvidia", "intel", "yolo")
    return dialects.load(name).deploy, order.index(name) if name in order else len(order), name
