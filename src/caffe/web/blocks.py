"""Folding a net's graph: layers in place join the one they work on, branches that meet again become blocks, and
blocks or layers that repeat one after the other become runs.

Everything is found from the wiring, none of it from names; names only make titles.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LARGEST_BLOCK = 0.4
"""A block may hold at most this part of all units: more would hide the net, not its repetition."""
LONGEST_PERIOD = 8
LEAST_REPEATS = 3


@dataclass
class Unit:
    """A layer with those that work in place on its tops; ``sign`` is equal for units that do the same."""

    layers: list[int]
    sign: object
    bottoms: list[int] = field(default_factory=list)  # units whose tops it reads


@dataclass
class Group:
    """Units and groups that are shown as one until opened. ``kind`` is ``block`` or ``run``."""

    kind: str
    name: str
    units: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    parent: int | None = None
    repeats: int = 1


@dataclass
class _Item:
    """A unit or a block, in the order of the net."""

    units: list[int]
    sign: object
    block: int | None = None


def fold(units: Sequence[Unit], names: Sequence[str]) -> list[Group]:
    """The groups of a net whose units have these names. Units come in the order of the net."""
    groups: list[Group] = []
    block_of: dict[int, int] = {}
    for region in _regions(units):
        for unit in region:
            block_of[unit] = len(groups)
        groups.append(Group("block", title([names[u] for u in region]), region))
    items = _items(units, groups, block_of)
    for first, period, count in _repeats(units, items):
        run = Group("run", "", repeats=count)
        members = items[first : first + period * count]
        for item in members:
            if item.block is None:
                run.units += item.units
            else:
                run.groups.append(item.block)
                groups[item.block].parent = len(groups)
        ends = [title([names[u] for u in item.units]) for item in (members[0], members[-1])]
        run.name = " … ".join(dict.fromkeys(ends))
        groups.append(run)
    return groups


def title(names: Sequence[str]) -> str:
    """What names have in common at their beginning, else the last of them."""
    shared = os.path.commonprefix(list(names))  # noqa: RUF071 (of characters: they are no paths)
    if len(names) > 1 and not any(name == shared for name in names):
        shared = shared.rstrip("0123456789") if not shared.endswith(("/", "_", "-", ".")) else shared
    if "/" in shared and shared not in names:
        shared = shared[: shared.rindex("/")]  # fire2/con(v, cat) is fire2
    shared = shared.rstrip("/_-. ")
    return shared if len(shared) >= 2 and any(c.isdigit() for c in shared) else names[-1]


def _regions(units: Sequence[Unit]) -> list[list[int]]:
    """Sets of units that lie between a unit that several read and the first one where their ways meet again."""
    count = len(units)
    tops: list[list[int]] = [[] for _ in units]
    for i, unit in enumerate(units):
        for bottom in set(unit.bottoms):
            tops[bottom].append(i)
    dominator = _dominators([u.bottoms for u in units], range(count))
    meets = _dominators(tops, range(count - 1, -1, -1))
    regions = []
    for start in range(count):
        end = meets[start]
        if len(tops[start]) < 2 or end is None or not _above(dominator, start, end):
            continue
        inside = [u for u in range(start + 1, end) if _above(dominator, start, u) and _above(meets, end, u)]
        if inside:
            regions.append([*inside, end])
    regions.sort(key=len, reverse=True)
    chosen: list[list[int]] = []
    taken: set[int] = set()
    for region in regions:
        if len(region) <= max(4, LARGEST_BLOCK * count) and not taken & set(region):
            chosen.append(region)
            taken |= set(region)
    return sorted(chosen)


def _dominators(before: Sequence[Iterable[int]], order: Iterable[int]) -> list[int | None]:
    """For each node the last one that every way to it leads through; ``order`` has what is before first."""
    dominators: list[int | None] = [None] * len(before)
    depth = [0] * len(before)
    for node in order:
        meeting: int | None = None
        for k, other in enumerate(sorted(set(before[node]))):
            at: int | None = other
            if k:
                while meeting is not None and at is not None and meeting != at:
                    if depth[meeting] >= depth[at]:
                        meeting = dominators[meeting]
                    else:
                        at = dominators[at]
                at = meeting if meeting == at else None
            meeting = at
        dominators[node] = meeting
        depth[node] = 0 if meeting is None else depth[meeting] + 1
    return dominators


def _above(dominator: Sequence[int | None], above: int, node: int) -> bool:
    at: int | None = node
    while at is not None and at != above:
        at = dominator[at]
    return at == above


def _items(units: Sequence[Unit], groups: Sequence[Group], block_of: dict[int, int]) -> list[_Item]:
    items, seen = [], set()
    for i, unit in enumerate(units):
        block = block_of.get(i)
        if block is None:
            items.append(_Item([i], unit.sign))
        elif block not in seen:
            seen.add(block)
            members = groups[block].units
            place = {u: k for k, u in enumerate(members)}
            sign = tuple(
                (units[u].sign, tuple(sorted(place.get(b, -1) for b in units[u].bottoms))) for u in members
            )
            items.append(_Item(members, sign, block))
    return items


def _repeats(units: Sequence[Unit], items: Sequence[_Item]) -> list[tuple[int, int, int]]:
    """(first item, period, count) of what repeats along a chain of items; the most items first."""
    owner = {u: k for k, item in enumerate(items) for u in item.units}
    before = [{owner[b] for u in item.units for b in units[u].bottoms} - {k} for k, item in enumerate(items)]
    linked = [False] + [before[k] == {k - 1} for k in range(1, len(items))]
    repeats = []
    at = 0
    while at < len(items):
        best = (0, 0)  # items covered, period
        for period in range(1, LONGEST_PERIOD + 1):
            count = 1
            while all(
                at + period * count + k < len(items)
                and linked[at + period * count + k]
                and items[at + period * count + k].sign == items[at + k].sign
                and (k == 0 or linked[at + k])
                for k in range(period)
            ):
                count += 1
            if count >= LEAST_REPEATS and period * count > best[0]:
                best = (period * count, period)
        if best[0]:
            repeats.append((at, best[1], best[0] // best[1]))
            at += best[0]
        else:
            at += 1
    return repeats
