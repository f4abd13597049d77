"""Two nets side by side: which layers only one has, which differ in what they say, and by how much weights differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Json = dict[str, Any]
Weights = Mapping[str, Sequence[npt.NDArray[Any]]]


def compare_layers(first: Sequence[Json], second: Sequence[Json]) -> list[Json]:
    """The layers that differ, by name, in the order of the first net; ``layers`` of two analyses."""
    others = {layer["name"]: layer for layer in second}
    changed = []
    for layer in first:
        other = others.pop(layer["name"], None)
        if other is None:
            changed.append({"name": layer["name"], "type": layer["type"], "change": "only in the first"})
            continue
        changes = [
            f"{what}: {_said(layer[key])} → {_said(other[key])}"
            for what, key in (
                ("type", "type"),
                ("bottoms", "bottoms"),
                ("tops", "tops"),
                ("shapes", "shapes"),
                ("parameters", "params"),
            )
            if layer[key] != other[key]
        ]
        if layer["text"] != other["text"]:
            changes += _lines(layer["text"], other["text"])
        if changes:
            changed.append({"name": layer["name"], "type": layer["type"], "change": "\n".join(changes)})
    changed += [{"name": n, "type": o["type"], "change": "only in the second"} for n, o in others.items()]
    return changed


def compare_weights(first: Weights, second: Weights) -> list[Json]:
    """For each layer with parameters in either: how far apart they are.

    ``relative`` is ‖a − b‖ / ‖a‖ over the layer's parameters of equal shape, ``largest`` the largest |a − b|.
    """
    changed: list[Json] = []
    for name in dict.fromkeys([*first, *second]):
        if name not in first or name not in second:
            where = "only in the first" if name in first else "only in the second"
            changed.append({"name": name, "change": where, "relative": None, "largest": None})
            continue
        a, b = first[name], second[name]
        shapes = [tuple(x.shape) for x in a], [tuple(x.shape) for x in b]
        if shapes[0] != shapes[1]:
            change = f"shapes: {_said(shapes[0])} → {_said(shapes[1])}"
            changed.append({"name": name, "change": change, "relative": None, "largest": None})
            continue
        squares = norm = largest = 0.0
        for x, y in zip(a, b):
            difference = np.asarray(x, np.float64) - np.asarray(y, np.float64)
            squares += float(np.square(difference).sum())
            norm += float(np.square(np.asarray(x, np.float64)).sum())
            largest = max(largest, float(np.abs(difference).max(initial=0)))
        relative = float(np.sqrt(squares / norm)) if norm else float(np.sqrt(squares))
        changed.append(
            {
                "name": name,
                "change": "differs" if squares else "equal",
                "relative": relative,
                "largest": largest,
            }
        )
    return changed


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(v)}" for name, v in value.items()) or "unknown"
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], int):
            return "×".join(map(str, value))
        return ", ".join(_said(v) for v in value) or "none"
    return str(value)


def _lines(first: str, second: str) -> list[str]:
    a, b = first.splitlines(), second.splitlines()
    return [f"− {line.strip()}" for line in a if line not in b] + [
        f"+ {line.strip()}" for line in b if line not in a
    ]
