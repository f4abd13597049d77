"""Blocks: steps that the layers' names bring together, the same several times, as classes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from caffe.export.forms.form import Made
from caffe.export.source.body import identifier
from caffe.export.source.steps import Step

MOST_ENDS = 3
"""Inputs and outputs of a block."""
_KEYS = (
    re.compile(r"^(?P<stem>.+?_mbox)_(?:loc|conf)(?:_|$)"),
    re.compile(r"^(?P<stem>[A-Za-z][A-Za-z_]*?_?\d+[a-z]?\d*(?:_\d+)*)(?:[/_](?P<rest>.+))?$"),
    re.compile(r"^(?P<stem>[^/]+)/(?P<rest>.+)$"),
)
_WORDS = re.compile(r"^(?:conv|relu|res|bn|scale|batchnorm|drop|norm|pool|prelu|concat|sum|eltwise)_?", re.I)


@dataclass
class Block:
    """Steps of one place that are a block."""

    name: str
    steps: list[Step]
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, str] = field(default_factory=dict)
    """By step."""

    def short(self, value: str) -> str:
        """A value's name among the block's."""
        found = re.sub(r"\W+", "_", _match(value.partition("@")[0])[2]).strip("_") or "value"
        return f"conv{found}" if found[0].isdigit() else found

    def signature(self) -> Any:
        """What blocks of one class have in common: everything but numbers of their modules."""
        places = {name: f"in{i}" for i, name in enumerate(self.inputs)}
        parts = []
        for i, step in enumerate(self.steps):
            kind = (step.made.kind, len(step.made.args), _fixed(step.made)) if step.made else None
            attribute = self.attributes[step.name]
            parts.append(
                (attribute if step.made else "", step.text, kind, tuple(places[n] for n in step.bottoms))
            )
            places.update((name, f"{i}.{k}") for k, name in enumerate(step.tops))
        return tuple(parts), tuple(places[n] for n in self.outputs)


def _fixed(made: Made) -> tuple[tuple[str, Any], ...]:
    """Keywords that a class cannot leave open."""
    free = ("stride", "padding", "dilation", "groups")
    return tuple((k, repr(v)) for k, v in sorted(made.kwargs.items()) if k not in free)


def blocks_of(steps: Sequence[Step], outputs: Sequence[str]) -> list[list[Block]]:
    """Classes of blocks, each with its blocks, in order."""
    groups: dict[str, list[Step]] = defaultdict(list)
    by_top: dict[str, str] = {}
    for step in steps:
        key = _key(step, by_top)
        by_top.update(dict.fromkeys(step.tops, key))
        if key:
            groups[key].append(step)
    classes: dict[Any, list[Block]] = defaultdict(list)
    for key, members in groups.items():
        block = _block(key, members, steps, outputs)
        if block is not None:
            classes[block.signature()].append(block)
    return [found for found in classes.values() if len(found) > 1]


def _match(name: str) -> tuple[str, str, str]:
    """A layer's key, stem and the rest of its name."""
    for pattern in _KEYS:
        if match := pattern.match(name):
            stem = match["stem"]
            rest = (
                match.groupdict().get("rest") or name[len(stem) :].lstrip("_") or re.sub(r"[\d_]+", "", stem)
            )
            return _WORDS.sub("", stem) or stem, stem, rest
    return "", "", name


def _key(step: Step, by_top: dict[str, str]) -> str:
    """The group that a step belongs to: by its name, or, without a module, that of what it works on."""
    key = _match(step.name)[0]
    if step.made is not None or len(step.bottoms) != 1:
        return key
    if step.text.startswith("F.relu("):
        return by_top.get(step.bottoms[0], "")
    return key if re.search(r"/|_mbox_", step.name) else ""


def _block(key: str, members: list[Step], steps: Sequence[Step], outputs: Sequence[str]) -> Block | None:
    """The members as a block, if they can be run as one."""
    inside = {id(step) for step in members}
    made = [n for step in members for n in step.tops]
    used = {n for step in steps if id(step) not in inside for n in step.bottoms} | set(outputs)
    ends = [n for n in made if n in used]
    starts = list(dict.fromkeys(n for step in members for n in step.bottoms if n not in made))
    if len(members) < 3 or sum(step.made is not None for step in members) < 2:
        return None
    if not (1 <= len(ends) <= MOST_ENDS and 1 <= len(starts) <= MOST_ENDS) or any(
        s.shared for s in members if not s.made
    ):
        return None
    after = set(ends)
    for step in steps:  # a way out and in again makes it no block
        if id(step) not in inside and after.intersection(step.bottoms):
            after.update(step.tops)
    if after.intersection(starts):
        return None
    first = next(step for step in members if step.made is not None)
    block = Block(identifier(_match(first.name)[1]), members, starts, ends)
    taken: set[str] = set()
    for step in members:
        block.attributes[step.name] = _attribute(step, key, taken)
        taken.add(block.attributes[step.name])
    return block


def _attribute(step: Step, key: str, taken: set[str]) -> str:
    _, stem, rest = _match(step.name)
    kind = stem[: len(stem) - len(key)].strip("_") if stem.endswith(key) else ""
    if kind.lower() in ("bn", "scale", "batchnorm") and rest != stem:
        rest = f"{kind}_{rest}"
    rest = re.sub(r"\W+", "_", rest).strip("_") or "layer"
    return identifier(f"conv{rest}" if rest[0].isdigit() else rest, taken)


def class_names(classes: Sequence[Sequence[Block]], taken: set[str]) -> list[str]:
    """A name for each class of blocks: what their names begin with, and what they have more than others."""
    stems = [_stem([block.name for block in blocks]) for blocks in classes]
    attributes = [[blocks[0].attributes[s.name] for s in blocks[0].steps if s.made] for blocks in classes]
    names: list[str] = []
    for i, stem in enumerate(stems):
        less = [set(attributes[k]) for k, other in enumerate(stems) if other == stem and k != i]
        more = next((sorted(set(attributes[i]) - a, key=len) for a in less if a < set(attributes[i])), [])
        name = base = f"{stem}With{''.join(w.title() for w in more[0].split('_'))}" if more else stem
        count = 2
        while name in taken or name in names:
            name, count = f"{base}{count}", count + 1
        names.append(name)
    return names


def _stem(names: Sequence[str]) -> str:
    if all(name.endswith("_mbox") for name in names):
        return "BoxHead"
    common = names[0]
    while not all(name.startswith(common) for name in names):
        common = common[:-1]
    stem = "".join(w[0].upper() + w[1:] for w in re.split(r"[\d_]+", common) if w)
    return stem if len(stem) > 5 else f"{stem}Block"
