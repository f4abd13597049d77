"""Measuring in turns: A B C A B C …, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Step = Callable[[], object]


@dataclass
class Times:
    """A contender's milliseconds a step, one for each round."""

    name: str
    ms: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.ms)


def race(steps: dict[str, Step], rounds: int, least_seconds: float = 0.2) -> list[Times]:
    """Time every contender in every round, repeating short steps until they add up to something.

    Each turn begins with a step that is not counted: it has the caches and the threads of the one before it.
    """
    repeats = {}
    for name, step in steps.items():
        step()
        start = time.perf_counter()
        step()
        once = max(time.perf_counter() - start, 1e-6)
        repeats[name] = max(1, round(least_seconds / once))
    found = {name: Times(name) for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            step()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                step()
            found[name].ms.append((time.perf_counter() - start) * 1e3 / repeats[name])
    return list(found.values())


def ratios(times: list[Times], reference: str) -> dict[str, float]:
    """How many times as fast as the reference each contender is: the median over rounds of the two's ratio."""
    base = next(t for t in times if t.name == reference)
    return {t.name: statistics.median(b / a for a, b in zip(t.ms, base.ms)) for t in times}
